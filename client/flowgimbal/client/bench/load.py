"""One stream under load: frames go out by the clock or as fast as they come back, and every one is timed."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from flowgimbal.client.client import Client
from flowgimbal.client.frame import Frame, FrameStats
from flowgimbal.client.settings import StreamSettings
from flowgimbal.client.stream import Stream

WARM_UP_FRAMES = 10
"""Left out of every figure: the first frames pay for what the rest find ready."""

FLAT_OUT_FPS = 30
"""The frame rate that the time stamps speak of when no rate is kept."""


def punctual() -> asyncio.AbstractEventLoop:
    """A loop that keeps a camera's time: epoll's knows whole milliseconds, and wakes up half of one late on average.

    ``select`` knows descriptors below 1,024 alone; the loop's own are opened first, and connections are gRPC's.
    """
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


@dataclass
class Timed:
    """What one stream saw. Times in seconds; ``latencies`` without the look-ahead's waiting, warm-up left out."""

    engine: str = ""
    settings: StreamSettings = field(default_factory=StreamSettings)
    sent: int = 0
    received: int = 0
    dropped: int = 0
    bytes_out: int = 0
    bytes_in: int = 0
    latencies: list[float] = field(default_factory=list)
    stats: list[FrameStats] = field(default_factory=list)
    first: float = 0.0
    last: float = 0.0


async def drive(
    client: Client, settings: StreamSettings, frames: Iterable[Frame], rate: float, in_flight: int, offset: float = 0.0
) -> Timed:
    """Run one stream over ``frames`` at ``rate`` [frames/s], begun ``offset`` seconds late.

    A rate of 0 keeps ``in_flight`` frames on the road beyond the look-ahead: as fast as the server goes. By the clock,
    a frame's time runs from when it was due, whether or not it could be sent then.
    """
    timed = Timed()
    due: dict[int, float] = {}
    room = asyncio.Event()
    await asyncio.sleep(offset)
    async with client.stream(settings) as stream:
        timed.engine, timed.settings = stream.info.engine, stream.info.settings
        feeding = asyncio.ensure_future(_feed(stream, frames, rate, in_flight, due, room))
        try:
            while (steady := await stream.receive()) is not None:
                now = time.perf_counter()
                room.set()
                timed.bytes_in += len(steady.data)
                if stream.received > WARM_UP_FRAMES:
                    # The look-ahead's frames had to be sent first; at the end of the stream no more were.
                    behind = min(steady.frame_id + stream.info.latency_frames, max(due))
                    timed.latencies.append(now - due[behind])
                    timed.stats.append(steady.stats)
                    timed.first = timed.first or now
                    timed.last = now
            timed.bytes_out = await feeding
        finally:
            feeding.cancel()
            with suppress(asyncio.CancelledError):
                await feeding
    timed.sent, timed.received = stream.sent, stream.received
    timed.dropped = stream.sent - stream.received
    return timed


async def _feed(
    stream: Stream, frames: Iterable[Frame], rate: float, in_flight: int, due: dict[int, float], room: asyncio.Event
) -> int:
    """Send, note when each frame was due, and half-close; the bytes sent."""
    started, total = time.perf_counter(), 0
    for number, frame in enumerate(frames):
        if rate:
            moment = started + number / rate
            await asyncio.sleep(max(0.0, moment - time.perf_counter()))
        else:
            while stream.in_flight >= stream.info.latency_frames + in_flight:
                room.clear()
                await room.wait()
            moment = time.perf_counter()
        due[number] = moment
        total += len(frame.data)
        await stream.send(frame, frame_id=number, capture_time_ns=int(number * 1e9 / (rate or FLAT_OUT_FPS)))
    await stream.half_close()
    return total
