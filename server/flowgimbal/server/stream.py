"""One call of Stream: a coroutine that reads requests, one that writes responses, a pipeline between them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flowgimbal.engines.engine import Engine
from flowgimbal.server.access import holder
from flowgimbal.server.channel import Closed
from flowgimbal.server.codecs.apart import Nursery
from flowgimbal.server.codecs.codec import RawFrame
from flowgimbal.server.codecs.table import CODECS, inspect
from flowgimbal.server.config import ServeConfig
from flowgimbal.server.errors import InvalidArgument, StreamError, TimedOut, Undecodable
from flowgimbal.server.guard import PATIENCE, Guard
from flowgimbal.server.inbox import Context, Inbox
from flowgimbal.server.job import Job
from flowgimbal.server.metrics import Metrics
from flowgimbal.server.outbox import send
from flowgimbal.server.pipeline import Pipeline
from flowgimbal.server.resume import Resume, read
from flowgimbal.server.session import Counters, Session
from flowgimbal.server.stages import Decode, Encode, Flow, WarpStage
from flowgimbal.server.stream_config import StreamSettings, resolve, to_proto, tuned
from flowgimbal.server.turns import Turns
from flowgimbal.server.watch import Observers
from flowgimbal.v1 import stabilizer_pb2 as pb

if TYPE_CHECKING:
    from flowgimbal.server.tracing import Tracing

__all__ = ["Context", "Stream", "StreamSummary"]

logger = logging.getLogger(__name__)

CONFIG_SECONDS = 10.0
"""A call that says nothing keeps a place from others no longer than this."""


@dataclass(frozen=True, slots=True)
class StreamSummary:
    """Where a running stream stands. ``size``: (width, height) [pixels], None before the first frame."""

    info: pb.StreamInfo
    counters: Counters
    size: tuple[int, int] | None


class Stream:
    """Runs one stream from its first request to its status; whatever happens, its threads and frames go with it."""

    def __init__(
        self,
        name: str,
        context: Context,
        engine: Engine,
        config: ServeConfig,
        metrics: Metrics,
        turns: Turns,
        draining: asyncio.Event,
        nursery: Nursery | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self._name = name
        self._nursery = nursery
        self._context = context
        self._engine = engine
        self._config = config
        self._metrics = metrics
        self._turns = turns
        self.holder = holder.get()
        """Whose it is."""
        self._trace = tracing and tracing.stream(name, context.invocation_metadata() or (), self.holder.grant.name)
        self._loop = asyncio.get_running_loop()
        self._session = Session(int(config.idle_timeout_seconds * 1e9), time.monotonic_ns())
        # The other half of the grace period is for what was taken.
        self._inbox = Inbox(context, self._session, draining, config.drain_grace_seconds / 2)
        self._settings = StreamSettings()
        self._told = self._settings
        self._resume: Resume | None = None
        self._encoding: pb.Encoding | None = None  # of the frame received last
        self._draining = draining
        self._key_frames_asked = 0
        self._tuned = asyncio.Event()  # by an observer, and the client was not told yet
        self._writing = asyncio.Lock()
        self.observers = Observers()
        """Who watches."""

    @property
    def info(self) -> pb.StreamInfo:
        """The settings in force."""
        return pb.StreamInfo(
            stream_id=self._name,
            config=to_proto(self._settings),
            latency_frames=self._settings.latency_frames,
            engine=self._engine.name,
        )

    @property
    def summary(self) -> StreamSummary:
        """Where the stream stands."""
        return StreamSummary(self.info, self._session.counters, self._session.size)

    def counted(self, stats: pb.FrameStats) -> pb.FrameStats:
        """``stats`` with the stream's counters."""
        counters = self._session.counters
        stats.frames_received = counters.received
        stats.frames_dropped = counters.dropped
        return stats

    def tune(self, tuning: pb.Tuning) -> pb.StreamInfo:
        """Change the settings for frames that come from now on; raises InvalidArgument, and then nothing changed.

        The client is told soon.
        """
        self._settings = tuned(self._settings, tuning.config, CODECS)
        self._key_frames_asked += tuning.key_frame
        self._tuned.set()
        return self.info

    async def run(self) -> None:
        """Returns when the stream ended well; raises StreamError for the status to end it with."""
        started = time.monotonic()
        outcome = "CANCELLED"
        try:
            if await self._configure():
                await self._exchange()
            outcome = "OK"
        except StreamError as error:
            outcome = f"{error.code.name} {error.reason}"
            raise
        except Exception:
            outcome = "INTERNAL INTERNAL"
            raise
        finally:
            self.observers.close()
            self._metrics.ended.labels(outcome.partition(" ")[0]).inc()
            counters = self._session.counters
            self._metrics.abandoned.inc(counters.under_way)
            if self._trace:
                self._trace.ended(outcome, counters, self._session.size, self._encoding)
            logger.info(
                "stream ended",
                extra={
                    "outcome": outcome,
                    "seconds": round(time.monotonic() - started, 3),
                    "received": counters.received,
                    "returned": counters.returned,
                    "dropped": counters.dropped,
                    "abandoned": counters.under_way,
                    "restarts": counters.restarts,
                },
            )

    async def _configure(self) -> bool:
        try:
            async with asyncio.timeout(CONFIG_SECONDS):
                request = await self._inbox.next()
        except TimeoutError:
            message = f"no configuration came for {CONFIG_SECONDS:g} s; send StreamRequest.config first"
            raise TimedOut("NO_CONFIG", message) from None
        if request is None:
            return False
        if request.WhichOneof("request") != "config":
            self._session.receive(request.frame.frame_id, time.monotonic_ns())
        self._session.configure(time.monotonic_ns())
        self._settings = resolve(request.config, CODECS)
        if request.config.HasField("resume"):
            self._resume = read(request.config.resume)
        if self._trace:
            self._trace.configured(self.info)
        return True

    async def _exchange(self) -> None:
        settings = self._settings
        await self._tell_settings()
        engine = Guard(self._engine, 0 if settings.lossless else PATIENCE, self._metrics.engine_failed)
        stages = (
            Decode(settings, self._config.max_frame_pixels, self._lost, self._nursery),
            Flow(settings, engine, self._resume.path if self._resume else ()),
            WarpStage(engine, self.observers),
            Encode(settings, self._lost),
        )
        pipeline = Pipeline(self._name, stages, self._turns, lossless=settings.lossless)
        reader = asyncio.create_task(self._read(pipeline))
        writer = asyncio.create_task(self._write_all(pipeline))
        news = asyncio.create_task(self._bid_farewell()), asyncio.create_task(self._tell_tunings())
        try:
            pipeline.start()
            await asyncio.wait({reader, writer}, return_when=asyncio.FIRST_COMPLETED)
            if reader.done():
                reader.result()
            await writer
        finally:
            pipeline.cancel()
            # A server that stops cancels again what its client has cancelled: no thread may be left behind for that.
            ending = asyncio.ensure_future(_end(pipeline, reader, writer, *news))
            while not ending.done():
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.shield(ending)
            del reader, writer  # or they, this frame and the error that they ended with would keep each other

    async def _tell_settings(self) -> None:
        self._told = self._settings
        await self._write(pb.StreamResponse(info=self.info))

    async def _tell_tunings(self) -> None:
        """At once: with more look-ahead no frame may come back before the client sends another."""
        # Who cannot be told is met by the writer.
        with contextlib.suppress(StreamError):
            while await self._tuned.wait():
                self._tuned.clear()
                if self._told is not self._settings:
                    await self._tell_settings()

    async def _read(self, pipeline: Pipeline) -> None:
        # The pipeline may have ended for a reason that the writer knows.
        with contextlib.suppress(Closed):
            while (request := await self._inbox.next()) is not None:
                if request.WhichOneof("request") == "tuning":
                    await self._tune(request.tuning)
                    continue
                try:
                    job = self._admit(request)
                except Undecodable as error:
                    if self._replayed(request.frame):
                        continue  # it came back elsewhere: nobody waits for it
                    if self._settings.lossless:
                        pipeline.end(error)
                        return
                    self._drop(1)
                    continue
                if await self._afford(job):
                    self._drop(await pipeline.submit(job))
            self._session.close()
            pipeline.end()

    async def _bid_farewell(self) -> None:
        """Tell a client that can move to do so while the server still works."""
        if not self._settings.resumable:
            return
        seconds = self._inbox.listen_seconds = self._config.drain_grace_seconds / 2
        await self._draining.wait()
        # Who cannot be told is met by the writer.
        with contextlib.suppress(StreamError):
            await self._write(pb.StreamResponse(draining=pb.Draining(seconds=seconds)))

    async def _tune(self, tuning: pb.Tuning) -> None:
        self.holder.check()
        self._session.tune(time.monotonic_ns())
        self.tune(tuning)
        await self._tell_settings()

    async def _afford(self, job: Job) -> bool:
        """Whether to go on with a frame, by its holder's budget: a lossless stream waits, a live one drops it."""
        width, height = self._session.size or (0, 0)
        while wait := self.holder.spend(width * height, time.monotonic_ns()):
            if self._draining.is_set():
                return True  # what was received comes back, and soon
            if self._settings.lossless or job.replayed:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._draining.wait(), wait)
                continue
            self._drop(1)
            job.skipped = True
            return job.depends  # those after it need it decoded
        return True

    def _admit(self, request: pb.StreamRequest) -> Job:
        now = time.monotonic_ns()
        self.holder.check()
        kind = request.WhichOneof("request")
        if kind == "config":
            self._session.configure(now)
        if kind is None:
            raise InvalidArgument("EMPTY_REQUEST", "a request with neither config nor frame came; send a frame")
        replayed = self._replayed(request.frame)
        self._session.receive(request.frame.frame_id, now, replayed=replayed)
        self._metrics.received.inc(not replayed)
        frame = RawFrame.of(request.frame)
        self._encoding = frame.encoding
        self._metrics.bytes_received.inc(len(frame.data))
        size = inspect(frame, self._config.max_frame_pixels)
        if size is not None and self._session.resize(size):
            logger.info("the size changed to %dx%d: the window restarts", *size)
        return Job.of(
            frame,
            self._session.size,
            self._settings,
            depends=CODECS[frame.encoding].depends,
            key_frames_asked=self._key_frames_asked,
            replayed=replayed,
        )

    def _replayed(self, frame: pb.Frame) -> bool:
        """Whether another server returned it already."""
        return self._resume is not None and frame.frame_id <= self._resume.after_frame_id

    async def _write_all(self, pipeline: Pipeline) -> None:
        async for job in pipeline.results():
            if job.response is None:
                continue
            self.counted(job.response.frame.stats)
            if self._told is not self._settings:
                await self._tell_settings()
            await self._write(job.response)
            self._session.give_back()
            self._metrics.bytes_sent.inc(job.size)
            self._metrics.observe(job.clock.spent_ns)
            if self._trace:
                self._trace.frame(job)

    async def _write(self, response: pb.StreamResponse) -> None:
        try:
            async with asyncio.timeout(self._config.idle_timeout_seconds), self._writing:
                await send(self._context, response)
        except TimeoutError:
            raise self._session.timed_out("the client took no frame") from None

    def _drop(self, count: int) -> None:
        if count:
            self._session.drop(count)
            self._metrics.dropped.inc(count)

    def _lost(self) -> None:
        self._loop.call_soon_threadsafe(self._drop, 1)


async def _end(pipeline: Pipeline, *tasks: asyncio.Task[None]) -> None:
    """Let go of the tasks, however they end, and of the threads."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await pipeline.closed()
