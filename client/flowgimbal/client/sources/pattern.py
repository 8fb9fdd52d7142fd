"""A test picture with a recorded shake: the bundled clip, forwards and backwards, for ever."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Self

from flowgimbal.client.assets import BUNDLED_CLIP
from flowgimbal.client.frame import Frame
from flowgimbal.client.sources.pace import paced
from flowgimbal.client.sources.unit import Unit
from flowgimbal.client.sources.video import VideoSource

_RATE = 25


class PatternSource:
    """See ``LiveSource``; never ends."""

    ends = False

    def __init__(self) -> None:
        self._frames: list[Frame] = []

    def __enter__(self) -> Self:
        with VideoSource(BUNDLED_CLIP) as clip:
            self._frames = [frame for _, frame in clip.frames()]
        return self

    def __exit__(self, *_: object) -> None:
        self._frames = []

    def units(self) -> Iterator[Unit]:
        """See ``LiveSource``."""
        return paced(self._endless())

    def _endless(self) -> Iterator[Unit]:
        last = len(self._frames) - 1
        for number in count():
            place = number % (2 * last)
            frame = self._frames[min(place, 2 * last - place)]
            time_ns = number * 1_000_000_000 // _RATE
            yield Unit(frame.data, frame.encoding, frame.width, frame.height, time_ns)
