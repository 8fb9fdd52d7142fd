"""What a family of encodings has to offer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from flowgimbal.engines.picture import Picture
from flowgimbal.server.codecs.colour import JFIF, Colour
from flowgimbal.v1 import stabilizer_pb2 as pb


@dataclass(frozen=True, slots=True)
class RawFrame:
    """One frame as received. ``data`` is taken out of the message once: protobuf copies it at every access."""

    frame_id: int
    capture_time_ns: int
    encoding: pb.Encoding
    width: int
    height: int
    stride: int
    data: bytes

    @staticmethod
    def of(message: pb.Frame) -> RawFrame:
        """The fields of ``message``, each read once."""
        return RawFrame(
            frame_id=message.frame_id,
            capture_time_ns=message.capture_time_ns,
            encoding=message.encoding,
            width=message.width,
            height=message.height,
            stride=message.stride,
            data=message.data,
        )


@dataclass(frozen=True, slots=True)
class Attached:
    """What travels with a picture: the meaning of its numbers, and user data (messages of SEI units)."""

    colour: Colour = JFIF
    user_data: tuple[bytes, ...] = ()


PLAIN = Attached()

MAX_REORDERED = 32
"""Frames that may wait in a decoder, with room to spare: H.264 and H.265 allow 16."""


class Decoded(NamedTuple):
    """A picture that came out of a decoder, and whose it is."""

    frame_id: int
    picture: Picture
    attached: Attached = PLAIN


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """What lossy encodings are told: ``quality`` is 1 to 100; ``bit_rate`` [bits/s], 0: by quality alone.

    ``key_frame_interval`` [frames] is the longest way between two pictures that a decoder can begin with.
    """

    quality: int
    bit_rate: int = 0
    key_frame_interval: int = 60


class Decoder(Protocol):
    """Reads one stream's frames of one encoding, in order; may keep state between them."""

    def decode(self, frame: RawFrame) -> Sequence[Decoded]:
        """The pictures that are due after ``frame``, as a rule its own; raises Undecodable.

        The caller has inspected the frame.
        """

    def flush(self) -> Sequence[Decoded]:
        """The pictures that wait for frames which will not come."""

    def lost(self) -> None:
        """Frames before the next one will never come."""


class Encoder(Protocol):
    """Writes one stream's pictures in one encoding, in order; may keep state between them."""

    def encode(self, picture: Picture, attached: Attached, capture_time_ns: int) -> bytes:
        """The bytes of ``picture``, packed."""

    def force_key_frame(self) -> None:
        """Let the next picture stand on its own."""


class Still:
    """The parts of a decoder or an encoder that are idle where every frame stands on its own."""

    depends = False

    def flush(self) -> Sequence[Decoded]:
        """Nothing waits."""
        return ()

    def lost(self) -> None:
        """Nothing was needed."""

    def force_key_frame(self) -> None:
        """Every frame is one."""


class Codec(Protocol):
    """One encoding: looks at frames before they are queued, and makes the decoder and encoder of a stream."""

    @property
    def depends(self) -> bool:
        """Whether a frame may need those before it, so that none can be left out."""

    def inspect(self, frame: RawFrame) -> tuple[int, int] | None:
        """(width, height) in pixels from the header alone, without decoding; None: as the frame before.

        Raises InvalidArgument if the fields contradict the data, Undecodable if the header is broken, Unsupported for
        a kind that this build cannot read. Cheap: runs where frames arrive.
        """

    def check(self, frame: RawFrame) -> None:
        """Raise InvalidArgument if the amount of data is wrong; called after the size was found within limits."""

    def decoder(self, max_pixels: int) -> Decoder:
        """A decoder for one stream, of pictures of ``max_pixels`` at most."""

    def encoder(self, settings: EncoderSettings) -> Encoder:
        """An encoder for one stream; the settings are ignored where nothing is lost."""
