"""The middle of ``flowgimbal live``: what the source gives goes to a server, what comes back goes to the sinks."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace

from flowgimbal.client.client import Client
from flowgimbal.client.endpoint import Endpoint
from flowgimbal.client.errors import (
    CorruptFrame,
    FlowgimbalError,
    InvalidRequest,
    ServerFault,
    StreamClosed,
    Timeout,
    Unauthorized,
    Unsupported,
)
from flowgimbal.client.frame import Frame, SteadyFrame
from flowgimbal.client.key import is_key
from flowgimbal.client.live.backlog import Backlog
from flowgimbal.client.live.fan import Fan
from flowgimbal.client.live.intake import Intake
from flowgimbal.client.live.metadata import Metadata
from flowgimbal.client.settings import Mode, StreamSettings
from flowgimbal.client.sinks.shot import Shot, Sink
from flowgimbal.client.sources.unit import LiveSource, Unit
from flowgimbal.client.stream import Stream

logger = logging.getLogger(__name__)

RETRY_SECONDS = (0.25, 1.0)
"""The pause before a server is tried again, at first and at most."""
IN_FLIGHT = 40
"""Units that may be on their way before others are held back, the look-ahead's not counted."""
HOLD_SECONDS = 0.25
"""For so long each: a server says that it dropped frames with the next one that it returns, and there may be none."""
_REFUSALS = (InvalidRequest, Unsupported)
_OF_CONTENT = (*_REFUSALS, CorruptFrame, ServerFault)
FAREWELL_SECONDS = 5.0
"""Once it is to end, nothing more is waited for if nothing came back for so long: its sinks have to be completed."""
LEAVE_SECONDS = 1.0
"""For the source's thread to see that it is to end; one that waits for a packet is left behind."""
BARREN = 90
"""Frames without one that came back, the look-ahead's not counted, after which the log says so."""
FREEZE_SECONDS = 2.0
"""A source that gives nothing for so long is said to be frozen."""


class Relay:
    """Runs until the source ends or ``stop`` is called; servers and sinks that go away are awaited."""

    def __init__(
        self,
        open_source: Callable[[], LiveSource],
        sinks: Iterable[Sink],
        server: str | Endpoint,
        settings: StreamSettings,
        *,
        raw_sinks: Iterable[Sink] = (),
    ) -> None:
        self._open_source = open_source
        self._sinks = list(sinks)
        self._raw_sinks = list(raw_sinks)
        self._server = server
        self._settings = replace(settings, mode=settings.mode or Mode.LIVE)
        self._stopping = asyncio.Event()
        self._news = asyncio.Event()
        self._lost_at: float | None = None
        self._next_id = 0
        self._metadata = Metadata()
        self._start_ns: int | None = None
        self.open: tuple[Client, Stream] | None = None
        """The stream that runs now, and its connection."""
        self.size = (0, 0)
        """Width and height of the picture returned last [pixels]."""
        self.returned = 0
        """Frames that came back."""
        self.dropped = 0
        """Frames that the servers dropped."""
        self.unsent = 0
        """Units that no server was sent, when ``run`` has ended: none was there, or none was fast enough."""

    def stop(self) -> None:
        """Take no more from the source, return what is on its way, and end."""
        self._stopping.set()
        self._news.set()

    async def run(self) -> None:
        """Raises MediaError if the source cannot be opened at all, or the server's refusal of the settings."""
        loop = asyncio.get_running_loop()
        lossless = self._settings.mode == Mode.LOSSLESS
        backlog = Backlog(lambda: _call(loop, self._news.set), lossless=lossless)
        raw = Fan(self._raw_sinks, once=False)  # nothing of it is sent twice, and its pictures may be reordered
        fan = Fan(self._sinks)
        intake = Intake(self._open_source, backlog, lambda time_ns, unit: self._came(raw, time_ns, unit))
        intake.start()
        serving = asyncio.ensure_future(self._serve(backlog, fan))
        beside = [asyncio.ensure_future(task) for task in (self._watch(intake), self._leave(serving))]
        try:
            await asyncio.wait({serving})
            if not serving.cancelled():
                serving.result()
            if intake.failure is not None:
                raise intake.failure
        finally:
            for task in (serving, *beside):
                task.cancel()
            await asyncio.gather(serving, *beside, return_exceptions=True)
            self.unsent = backlog.lost
            intake.stop()
            await asyncio.to_thread(intake.join, LEAVE_SECONDS)
            await asyncio.to_thread(fan.close)
            await asyncio.to_thread(raw.close)

    async def _serve(self, backlog: Backlog, fan: Fan) -> None:
        """One stream after another, each as long as its server lives."""
        pause, most = RETRY_SECONDS
        while not self._over(backlog):
            if not backlog.waiting:  # a stream is opened when there is something to send
                await self._wait()
                continue
            try:
                # Servers that come and go are the stream's business; what ends it for good is dealt with here.
                async with (
                    Client(self._server) as client,
                    client.stream(self._settings, resume=True, patience=math.inf) as stream,
                ):
                    self._opened(stream)
                    self.open = client, stream
                    pause = RETRY_SECONDS[0]
                    try:
                        await self._exchange(stream, backlog, fan)
                    finally:
                        self.open = None
                if not self._over(backlog):  # it drains; whoever answers next knows nothing of this stream
                    logger.info("the server ended the stream; opening another")
                    backlog.rewind()
            except FlowgimbalError as error:
                if isinstance(error, (*_REFUSALS, Unauthorized)) and not self.returned:
                    raise
                if isinstance(error, Timeout) and not backlog.waiting:
                    # It is the source that kept the server waiting, and that was said.
                    while not backlog.waiting and not self._over(backlog):
                        await self._wait()
                    backlog.rewind()
                    continue
                self._lost(error)
                if isinstance(error, _OF_CONTENT):
                    backlog.skip()  # sent again, it would end the next stream too
                    if backlog.ended:
                        raise
                else:
                    backlog.rewind()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), pause)
                pause = min(2 * pause, most)

    async def _leave(self, serving: asyncio.Task[None]) -> None:
        """Once ``stop`` was called, wait for what is on its way as long as it comes."""
        await self._stopping.wait()
        returned = None
        while returned != self.returned:
            returned = self.returned
            await asyncio.sleep(FAREWELL_SECONDS)
        logger.warning("the server gives nothing back for %g s: ending without what is on its way", FAREWELL_SECONDS)
        serving.cancel()

    async def _exchange(self, stream: Stream, backlog: Backlog, fan: Fan) -> None:
        sending = asyncio.ensure_future(self._send(stream, backlog))

        def wake_receiver(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and task.exception():
                stream.cancel()

        sending.add_done_callback(wake_receiver)
        before = self.dropped
        try:
            while (steady := await stream.receive()) is not None:
                self.dropped = before + stream.dropped
                self.size = steady.width, steady.height
                if fan.put(self._shot(steady)):
                    self.returned += 1
            self.dropped = before + stream.dropped  # those after the last that came back, too
        finally:
            sending.cancel()
            (outcome,) = await asyncio.gather(sending, return_exceptions=True)
            if isinstance(outcome, Exception):
                raise outcome

    async def _send(self, stream: Stream, backlog: Backlog) -> None:
        with suppress(FlowgimbalError):  # the receiver hears of it
            while not self._over(backlog):
                stamped = backlog.take()
                if stamped is None:
                    await self._wait()
                    continue
                await self._room(stream)
                time_ns, unit = stamped
                self._metadata.put(time_ns, unit.klv)
                frame = Frame(unit.data, unit.encoding, unit.width, unit.height)
                await stream.send(frame, frame_id=self._next_id, capture_time_ns=time_ns)
                self._next_id += 1
            await stream.half_close()

    async def _room(self, stream: Stream) -> None:
        """Hold back what a new server is sent at once: above its backlog it would drop all up to the next key frame."""
        limit = time.monotonic() + HOLD_SECONDS
        while stream.in_flight > IN_FLIGHT + stream.info.latency_frames and time.monotonic() < limit:  # noqa: ASYNC110
            await asyncio.sleep(0.005)

    async def _wait(self) -> None:
        self._news.clear()
        await self._news.wait()

    def _over(self, backlog: Backlog) -> bool:
        return self._stopping.is_set() or backlog.ended

    def _came(self, raw: Fan, time_ns: int, unit: Unit) -> None:
        """A unit, as it came: from the source's thread."""
        shift = 0 if unit.time_ns is None else time_ns - unit.time_ns
        decode_ns = None if unit.decode_ns is None or unit.time_ns is None else unit.decode_ns + shift
        if self._start_ns is None:
            self._start_ns = time_ns if decode_ns is None else min(time_ns, decode_ns)
        if raw.outlets:
            size, start_ns = (unit.width, unit.height), self._start_ns
            raw.put(Shot(unit.data, unit.encoding, *size, time_ns, unit.key, None, decode_ns, unit.klv, start_ns))

    def _shot(self, steady: SteadyFrame) -> Shot:
        """A frame that came back, on its way to the sinks."""
        key, size, time_ns = is_key(steady.data, steady.encoding), (steady.width, steady.height), steady.capture_time_ns
        klv = self._metadata.take(time_ns)
        return Shot(steady.data, steady.encoding, *size, time_ns, key, steady, None, klv, self._start_ns or 0)

    async def _watch(self, intake: Intake) -> None:
        """Say when the source freezes and thaws, and when nothing comes of what it gives."""
        frozen_at: float | None = None
        barren = False
        while True:
            await asyncio.sleep(0.25)
            held_back = self.open[1].info.latency_frames if self.open else math.inf
            if not barren and not self.returned and self._next_id > held_back + BARREN:
                barren = True
                logger.warning(
                    "none of %d frames came back: the server cannot decode them, or is far too slow;"
                    " an RTP source has to send its parameter sets along with its key frames",
                    self._next_id,
                )
            last = intake.last_unit
            if last is None:
                continue
            if frozen_at is None and time.monotonic() - last > FREEZE_SECONDS:
                frozen_at = last
                logger.warning("the source has given nothing for %.0f s", FREEZE_SECONDS)
            elif frozen_at is not None and last > frozen_at:
                logger.info("the source gives pictures again after %.1f s", last - frozen_at)
                frozen_at = None

    def _opened(self, stream: Stream) -> None:
        info = stream.info
        if self._lost_at is None:
            logger.info("stream %s on %s (%s)", info.stream_id, stream.address, info.engine)
        else:
            away = time.monotonic() - self._lost_at
            logger.info("the server is back after %.1f s: stream %s", away, info.stream_id)
            self._lost_at = None

    def _lost(self, error: FlowgimbalError) -> None:
        if self._lost_at is None and not isinstance(error, StreamClosed):
            self._lost_at = time.monotonic()
            what = "the server ended the stream" if isinstance(error, _OF_CONTENT) else "the server is gone"
            logger.warning("%s: %s; trying again", what, error)


def _call(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    with suppress(RuntimeError):  # the loop ended before the source did
        loop.call_soon_threadsafe(function)
