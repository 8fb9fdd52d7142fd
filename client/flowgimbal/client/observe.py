"""Looking at a stream that somebody else runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from flowgimbal.client.frame import FrameStats, homography, stats_from_proto
from flowgimbal.client.settings import Encoding, encoding_from_proto
from flowgimbal.client.stream import StreamInfo, info_of
from flowgimbal.v1 import stabilizer_pb2 as pb


@dataclass(frozen=True, slots=True)
class Sight:
    """One frame of a stream that is watched: small JPEG pictures before and after, and what is known of it.

    ``width`` and ``height`` are those of the stream's pictures, which ``transform`` and ``motion`` are of: how far the
    picture's middle moved since the frame before [pixels], None where that was not measured.
    """

    raw: bytes
    steady: bytes
    width: int
    height: int
    transform: NDArray[np.float64]
    motion: tuple[float, float] | None
    frame_id: int
    capture_time_ns: int
    stats: FrameStats
    info: StreamInfo
    encoding: Encoding | None


def sight_from_proto(message: pb.WatchResponse) -> Sight:
    """The message as the SDK shows it."""
    return Sight(
        raw=message.raw,
        steady=message.steady,
        width=message.width,
        height=message.height,
        transform=homography(message.transform),
        motion=(message.motion[0], message.motion[1]) if len(message.motion) == 2 else None,
        frame_id=message.frame_id,
        capture_time_ns=message.capture_time_ns,
        stats=stats_from_proto(message.stats),
        info=info_of(message.info),
        encoding=encoding_from_proto(message.encoding),
    )
