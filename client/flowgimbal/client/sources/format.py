"""What a video is, apart from its pixels: what a copy of it must keep."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av

_RGB, _UNKNOWN_COLOUR = 0, 2
_FALLBACK_RATE = Fraction(30)


@dataclass(frozen=True)
class VideoFormat:
    """Sizes in pixels, ``rate`` in frames/s (the average), ``time_base`` in seconds a tick; colours as FFmpeg counts.

    ``display_matrix`` turns the stored picture upright when it is shown (FFmpeg's nine integers); None: it is upright.
    ``frames`` is what the header promises, 0 where it promises nothing.
    """

    width: int
    height: int
    rate: Fraction
    time_base: Fraction
    frames: int = 0
    pixel_aspect: Fraction | None = None
    colour_range: int = 0
    colour_space: int = _UNKNOWN_COLOUR
    colour_primaries: int = _UNKNOWN_COLOUR
    colour_transfer: int = _UNKNOWN_COLOUR
    display_matrix: tuple[int, ...] | None = None

    @property
    def step(self) -> int:
        """Ticks from one frame to the next, at least one."""
        return max(1, round(1 / (self.rate * self.time_base)))


def format_of(stream: av.VideoStream, first: av.VideoFrame) -> VideoFormat:
    """The format of a stream, read from its header and its first decoded picture."""
    time_base = first.time_base or stream.time_base or 1 / _FALLBACK_RATE
    space = first.colorspace
    return VideoFormat(
        width=first.width,
        height=first.height,
        rate=stream.average_rate or stream.guessed_rate or _FALLBACK_RATE,
        time_base=time_base,
        frames=stream.frames,
        pixel_aspect=stream.sample_aspect_ratio or None,
        colour_range=first.color_range,
        colour_space=_UNKNOWN_COLOUR if space == _RGB else space,
        colour_primaries=first.color_primaries,
        colour_transfer=first.color_trc,
        display_matrix=_display_matrix(first),
    )


def _display_matrix(frame: av.VideoFrame) -> tuple[int, ...] | None:
    side_data: Any = frame.side_data  # its stub says that it yields keys; it yields values
    for data in side_data:
        if data.type.name == "DISPLAYMATRIX":
            return struct.unpack("=9i", bytes(data)[:36])
    return None
