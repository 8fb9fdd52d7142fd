"""One stream: frames in, steady frames out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from flowgimbal.client.call import Road
from flowgimbal.client.errors import FlowgimbalError, StreamClosed
from flowgimbal.client.frame import Frame, SteadyFrame, frame_from_proto, frame_to_proto
from flowgimbal.client.pixels import Image
from flowgimbal.client.pull import pull
from flowgimbal.client.settings import (
    Encoding,
    Mode,
    StreamSettings,
    settings_from_proto,
    settings_of,
    settings_to_proto,
)
from flowgimbal.v1 import stabilizer_pb2 as pb

FRAME_RATE = 30.0  # Hz, of recorded pictures that say nothing of their time

Picture = Frame | Image | bytes
"""What can be sent: a Frame, an array (see ``Frame.from_array``), or the bytes of a JPEG file."""


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What the server made of the wishes. ``latency_frames``: frames to send before the first comes back, less one."""

    stream_id: str
    settings: StreamSettings
    latency_frames: int
    engine: str


class Stream:
    """A running stream; made by ``Client.stream`` and entered with ``async with``.

    One task may send while another receives. Every method raises a FlowgimbalError where the server or the connection
    fails; a method of a stream that is closed raises StreamClosed.
    """

    def __init__(self, road: Road) -> None:
        self._road = road
        self._told: pb.StreamInfo | None = None
        self._info: StreamInfo | None = None
        self._feeding: asyncio.Task[None] | None = None
        self._next_id = 0
        self._frame_rate: float | None = None
        self._half_closed = False
        self._over = False
        self.sent = 0
        self.received = 0

    @property
    def info(self) -> StreamInfo:
        """The server's answer to the settings; StreamClosed before the stream is entered."""
        if self._info is None:
            raise StreamClosed("the stream is not open: enter it with `async with`")
        return self._info

    @property
    def address(self) -> str:
        """Of its server."""
        return self._road.address

    @property
    def dropped(self) -> int:
        """Frames sent that will not come back, as far as is known; once ``receive`` gave None, all that did not."""
        return self.sent - self.received if self._over else self._road.dropped

    @property
    def in_flight(self) -> int:
        """Frames sent that have neither come back nor been reported as dropped."""
        return self.sent - self.received - self.dropped

    async def __aenter__(self) -> Self:
        await self._road.open()
        self._learn()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cancel()
        if self._feeding is not None:
            self._feeding.cancel()
            await asyncio.gather(self._feeding, return_exceptions=True)
        await self._road.close()

    def cancel(self) -> None:
        """Give the stream up at once: frames in flight are lost. Harmless on a stream that has ended."""
        self._road.cancel()

    async def send(self, picture: Picture, *, frame_id: int | None = None, capture_time_ns: int | None = None) -> int:
        """Send one picture and return its frame_id. Waits while flow control, the network's or the server's, says so.

        ``frame_id`` must rise within a stream (default: counted from 0), ``capture_time_ns`` is on any monotonic
        clock. Its default is this machine's clock, now, in MODE_LIVE; a MODE_LOSSLESS stream is as a rule not sent at
        the pace at which it was taken, so there it is the frame's number at 30 frames a second. A cancelled send ends
        the stream.
        """
        road = self._opened()
        if self._half_closed:
            raise StreamClosed("nothing can be sent after half_close()")
        frame = as_frame(picture)
        number = next((n for n in (frame_id, frame.frame_id) if n is not None), self._next_id)
        clock = next((t for t in (capture_time_ns, frame.capture_time_ns) if t is not None), None)
        await road.write(frame_to_proto(frame, number, self._time_of(number) if clock is None else clock))
        self._next_id = number + 1
        self.sent += 1
        return number

    async def tune(self, settings: StreamSettings | None = None, *, key_frame: bool = False, **wishes: Any) -> None:
        """Change settings for the frames sent from now on: those that are given, by ``settings`` or by keywords.

        Mode and output encoding cannot change. ``key_frame`` begins the next picture in H.264 or H.265 with
        one. The server's answer replaces ``info`` while frames are received; a refusal ends the stream.
        """
        if settings is not None and wishes:
            raise ValueError("give settings or keywords, not both")
        change = settings_to_proto(settings or settings_of(**wishes))
        await self._opened().write(pb.StreamRequest(tuning=pb.Tuning(config=change, key_frame=key_frame)))

    async def receive(self) -> SteadyFrame | None:
        """The next steady frame; None when the server has sent the last one. May be cancelled, or timed out, safely."""
        while (steady := await self._hear()) is None and not self._over:
            pass
        return steady

    async def half_close(self) -> None:
        """Say that no frame follows: the server flushes its look-ahead and ends the stream."""
        road = self._opened()
        if not self._half_closed:
            self._half_closed = True
            await road.half_close()

    async def exchange(self, picture: Picture, **named: int) -> SteadyFrame | None:
        """Lock-step: send one picture, take one back. None for the first ``info.latency_frames`` pictures.

        Collect those with ``finish()``. A MODE_LIVE server gives no answer to a picture that it cannot decode, so wrap
        this call in ``asyncio.timeout`` where that may happen. Takes the arguments of ``send``.
        """
        await self.send(picture, **named)
        while self.in_flight > self.info.latency_frames:  # an observer may raise the latter meanwhile
            steady = await self._hear()
            if steady is not None or self._over:
                return steady
        return None

    async def finish(self) -> AsyncIterator[SteadyFrame]:
        """Half-close, and yield what is still to come."""
        await self.half_close()
        while (steady := await self.receive()) is not None:
            yield steady

    async def stabilize(
        self, pictures: Iterable[Picture] | AsyncIterable[Picture], *, frame_rate: float | None = None
    ) -> AsyncIterator[SteadyFrame]:
        """Send all ``pictures`` and yield what comes back, both at once; ends when the last one is back.

        ``frame_rate`` [Hz] says when pictures that bear no time of their own were taken; without it they get the
        default of ``send``. A synchronous iterable is read in a thread of its own. What it raises is raised here, and
        ends the stream.
        """
        self._frame_rate = frame_rate
        feeding = self._feeding = asyncio.ensure_future(self._feed(pictures))
        try:
            while (steady := await self.receive()) is not None:
                yield steady
        except FlowgimbalError:
            cause = feeding.exception() if feeding.done() and not feeding.cancelled() else None
            if cause is not None:
                raise cause from None
            raise
        finally:
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)

    async def _hear(self) -> SteadyFrame | None:
        """The next response: a frame, or None for other settings, which ``info`` has then, and after the last."""
        response = await self._opened().read()
        if response is None:
            # The server tells of what it dropped with the next frame that it returns: after the last there is none.
            self._over = True
            return None
        self._learn()
        if response.WhichOneof("response") != "frame":
            return None
        steady = frame_from_proto(response.frame)
        self.received += 1
        return steady

    async def _feed(self, pictures: Iterable[Picture] | AsyncIterable[Picture]) -> None:
        """Send all; raises what ``pictures`` raises, or what is no picture.

        The stream's end is the receiver's news.
        """
        try:
            async for picture in pull(pictures):
                frame = as_frame(picture)
                with suppress(FlowgimbalError):
                    await self.send(frame)
                    continue
                return
        except BaseException:
            self.cancel()  # wakes the receiver; a call that the server has ended keeps the server's status
            raise
        with suppress(FlowgimbalError):
            await self.half_close()

    def _time_of(self, number: int) -> int:
        """When picture ``number`` was taken, for want of a better knowledge [ns]."""
        if self._frame_rate is None and self.info.settings.mode is not Mode.LOSSLESS:
            return time.monotonic_ns()
        return round(number * 1e9 / (self._frame_rate or FRAME_RATE))

    def _learn(self) -> None:
        if self._told is not self._road.info:
            self._told = self._road.info
            self._info = info_of(self._told)

    def _opened(self) -> Road:
        if self._info is None:
            raise StreamClosed("the stream is not open: enter it with `async with`")
        return self._road


def info_of(info: pb.StreamInfo) -> StreamInfo:
    """The message as the SDK shows it."""
    return StreamInfo(info.stream_id, settings_from_proto(info.config), info.latency_frames, info.engine)


def as_frame(picture: Picture) -> Frame:
    """``picture`` as a Frame; TypeError or ValueError for what cannot be one."""
    if isinstance(picture, Frame):
        return picture
    if isinstance(picture, bytes):
        return Frame(picture, Encoding.JPEG)
    if hasattr(picture, "dtype"):
        return Frame.from_array(picture)
    raise TypeError(f"a picture is a Frame, a numpy array or the bytes of a JPEG, not a {type(picture).__name__}")
