"""What observers see of a stream: the newest frame, before and after; the stream never waits for them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import cv2
import numpy as np

from flowgimbal.engines.picture import Picture, Plane
from flowgimbal.server.codecs.codec import PLAIN, EncoderSettings
from flowgimbal.server.codecs.colour import Colour
from flowgimbal.server.codecs.planes import as_still
from flowgimbal.server.codecs.table import CODECS
from flowgimbal.v1 import stabilizer_pb2 as pb

PREVIEW_QUALITY = 80


@dataclass(frozen=True, slots=True)
class Sight:
    """One frame as an observer sees it. ``motion``: of the picture's middle [pixels], empty if not measured."""

    raw: Picture
    steady: Picture
    colour: Colour
    encoding: pb.Encoding
    frame_id: int
    capture_time_ns: int
    transform: Sequence[float]
    motion: Sequence[float]
    stats: pb.FrameStats


class Eye:
    """One observer's place: holds the newest sight until it is taken. Belongs to the event loop, but for ``put``."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._newest: Sight | None = None
        self._closed = False
        self._news = asyncio.Event()

    def put(self, sight: Sight) -> None:
        """A newer sight takes the place of the one before. From any thread."""
        self._newest = sight
        self._wake()

    def close(self) -> None:
        """The stream has ended. From any thread."""
        self._closed = True
        self._wake()

    async def next(self) -> Sight | None:
        """The newest sight that was not taken yet, as soon as there is one; None when the stream has ended."""
        while self._newest is None and not self._closed:
            await self._news.wait()
            self._news.clear()
        sight, self._newest = self._newest, None
        return None if self._closed else sight

    def _wake(self) -> None:
        with suppress(RuntimeError):  # the loop ended before the stream
            self._loop.call_soon_threadsafe(self._news.set)


class Observers:
    """All who watch one stream. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._eyes: tuple[Eye, ...] = ()
        self._closed = False

    def __bool__(self) -> bool:
        """Whether anybody watches."""
        return bool(self._eyes)

    def show(self, sight: Sight) -> None:
        """A frame is ready."""
        for eye in self._eyes:
            eye.put(sight)

    @contextmanager
    def watch(self) -> Iterator[Eye]:
        """A place among them, on the running event loop."""
        eye = Eye(asyncio.get_running_loop())
        with self._lock:
            self._eyes += (eye,)
            if self._closed:
                eye.close()
        try:
            yield eye
        finally:
            with self._lock:
                self._eyes = tuple(other for other in self._eyes if other is not eye)

    def close(self) -> None:
        """The stream has ended: nobody sees anything any more."""
        with self._lock:
            self._closed = True
            for eye in self._eyes:
                eye.close()


def preview(picture: Picture, colour: Colour, max_width: int) -> bytes:
    """``picture`` as a JPEG file of ``max_width`` pixels at most, its colours as a still has them."""
    still = as_still(_reduced(picture, min(1.0, max_width / picture.width)), colour)
    return CODECS[pb.ENCODING_JPEG].encoder(EncoderSettings(PREVIEW_QUALITY)).encode(still, PLAIN, 0)


def _reduced(picture: Picture, factor: float) -> Picture:
    if factor == 1.0:
        return picture
    width, height = (max(1, round(side * factor)) for side in picture.size)
    planes: list[Plane] = []
    for index, plane in enumerate(picture.planes):
        fx, fy = picture.factors(index)
        size = -(-width // fx), -(-height // fy)
        planes.append(np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA), np.uint8))
    return Picture(picture.layout, tuple(planes), picture.chroma)
