"""What a family of encodings has to offer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from flowgimbal.engines.picture import Picture
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


class Decoder(Protocol):
    """Reads one stream's frames of one encoding, in order; may keep state between them."""

    def decode(self, frame: RawFrame) -> Picture:
        """The picture in ``frame``; raises Undecodable. The caller has inspected the frame."""


class Encoder(Protocol):
    """Writes one stream's pictures in one encoding, in order; may keep state between them."""

    def encode(self, picture: Picture) -> bytes:
        """The bytes of ``picture``, packed."""


class Codec(Protocol):
    """One encoding: looks at frames before they are queued, and makes the decoder and encoder of a stream."""

    def inspect(self, frame: RawFrame) -> tuple[int, int]:
        """(width, height) in pixels from the header alone, without decoding.

        Raises InvalidArgument if the fields contradict the data, Undecodable if the header is broken, Unsupported for
        a kind that this build cannot read. Cheap: runs where frames arrive.
        """

    def check(self, frame: RawFrame) -> None:
        """Raise InvalidArgument if the amount of data is wrong; called after the size was found within limits."""

    def decoder(self) -> Decoder:
        """A decoder for one stream."""

    def encoder(self, quality: int) -> Encoder:
        """An encoder for one stream; ``quality`` is 1 to 100, ignored where nothing is lost."""
