"""Frames on their way in and out: what they carry, and the wire's form of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowgimbal.client.pixels import Image, decode
from flowgimbal.client.settings import Encoding, encoding_from_proto, encoding_to_proto
from flowgimbal.v1 import stabilizer_pb2 as pb


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture to send. ``width``, ``height`` [pixels] may stay 0 for compressed data; ``stride`` [bytes] 0: packed.

    ``frame_id`` None lets the stream count, ``capture_time_ns`` None takes the monotonic clock when the frame is sent.
    """

    data: bytes
    encoding: Encoding
    width: int = 0
    height: int = 0
    stride: int = 0
    frame_id: int | None = None
    capture_time_ns: int | None = None

    @classmethod
    def from_array(
        cls,
        image: Image,
        *,
        encoding: Encoding | None = None,
        frame_id: int | None = None,
        capture_time_ns: int | None = None,
    ) -> Frame:
        """A frame of a uint8 array: (H, W, 3) is BGR8 unless ``encoding`` says RGB8, (H, W) is GRAY8.

        Raises ValueError for any other shape or type. Rows need not be contiguous: they are packed.
        """
        if image.dtype != np.uint8:
            raise ValueError(f"a frame is an array of uint8, not of {image.dtype}")
        if image.ndim == 3 and image.shape[2] == 3:
            layout = encoding or Encoding.BGR8
        elif image.ndim == 2:
            layout = encoding or Encoding.GRAY8
        else:
            raise ValueError(f"a frame is of shape (H, W, 3) or (H, W), not {image.shape}")
        if (image.ndim == 2) != (layout is Encoding.GRAY8):
            raise ValueError(f"an array of shape {image.shape} is no {layout} picture; give its bytes as Frame.data")
        height, width = image.shape[:2]
        return cls(image.tobytes(), layout, width, height, frame_id=frame_id, capture_time_ns=capture_time_ns)

    @property
    def image(self) -> Image:
        """The pixels, as ``SteadyFrame.image``."""
        return decode(self.data, self.encoding, self.width, self.height, self.stride)


@dataclass(frozen=True, slots=True)
class FrameStats:
    """What one frame cost [ns], and the stream's counts so far [frames]; the contract documents each field."""

    total_ns: int = 0
    queue_ns: int = 0
    decode_ns: int = 0
    flow_ns: int = 0
    warp_ns: int = 0
    encode_ns: int = 0
    frames_received: int = 0
    frames_dropped: int = 0


_STATS = tuple(field.name for field in fields(FrameStats))


@dataclass(frozen=True)
class SteadyFrame:
    """One picture that came back.

    ``transform`` is the homography, float64 (3, 3), pixel sent -> pixel returned: its inverse turns a click on the
    steady picture into a point of the raw one.
    """

    frame_id: int
    capture_time_ns: int
    encoding: Encoding
    width: int
    height: int
    stride: int
    data: bytes
    transform: NDArray[np.float64]
    stats: FrameStats

    @cached_property
    def image(self) -> Image:
        """The pixels, decoded at the first look: BGR uint8 (H, W, 3), RGB8 as RGB, GRAY8 as (H, W).

        Raises CorruptFrame, or Unsupported for H.264 and H.265, whose decoder has a state of its own.
        """
        return decode(self.data, self.encoding, self.width, self.height, self.stride)

    def to_raw(self, point: tuple[float, float]) -> tuple[float, float]:
        """Where a point (x, y) [pixels] of this steady picture lies in the picture that was sent: a click's target."""
        return _moved(np.linalg.inv(self.transform), point)

    def to_stable(self, point: tuple[float, float]) -> tuple[float, float]:
        """Where a point (x, y) [pixels] of the picture that was sent lies in this steady one: an overlay's place."""
        return _moved(self.transform, point)


def _moved(homography: NDArray[np.floating[Any]], point: tuple[float, float]) -> tuple[float, float]:
    x, y, w = homography @ (*point, 1.0)
    return float(x / w), float(y / w)


def frame_to_proto(frame: Frame, frame_id: int, capture_time_ns: int) -> pb.StreamRequest:
    """``frame`` as a message, numbered and timed."""
    return pb.StreamRequest(
        frame=pb.Frame(
            frame_id=frame_id,
            capture_time_ns=capture_time_ns,
            encoding=encoding_to_proto(frame.encoding),
            width=frame.width,
            height=frame.height,
            stride=frame.stride,
            data=frame.data,
        )
    )


def frame_from_proto(message: pb.StabilizedFrame) -> SteadyFrame:
    """A message as the SDK shows it; ValueError for an encoding that this SDK does not know."""
    frame = message.frame
    encoding = encoding_from_proto(frame.encoding)
    if encoding is None:
        raise ValueError(f"the server sent a frame in encoding {frame.encoding}, which this SDK does not know")
    return SteadyFrame(
        frame_id=frame.frame_id,
        capture_time_ns=frame.capture_time_ns,
        encoding=encoding,
        width=frame.width,
        height=frame.height,
        stride=frame.stride,
        data=frame.data,
        transform=homography(message.transform),
        stats=stats_from_proto(message.stats),
    )


def homography(values: Sequence[float]) -> NDArray[np.float64]:
    """Nine values, row by row, as float64 (3, 3); none: nothing moved."""
    return np.array(values or np.eye(3), np.float64).reshape(3, 3)


def stats_from_proto(stats: pb.FrameStats) -> FrameStats:
    """The message as the SDK shows it."""
    return FrameStats(*(getattr(stats, name) for name in _STATS))
