"""The stages of one stream, each in a thread of its own, so that the slowest one sets the pace and not their sum.

Decoding, networks, sampling and encoding release the GIL. The ends of the pipeline live on the event loop, the belts
between the threads hold one job each, and every wait ends when the pipeline is cancelled.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import nullcontext
from contextvars import copy_context

from flowgimbal.server.channel import Channel, Closed
from flowgimbal.server.errors import EngineFailure, StreamError, Undecodable
from flowgimbal.server.job import End, Job
from flowgimbal.server.stages import Stage
from flowgimbal.server.turns import Turns

logger = logging.getLogger(__name__)

ENTRY_LIVE = 2
"""Frames that may wait in MODE_LIVE. With one, two frames that the network delivers together would cost one."""
ENTRY_LOSSLESS = 4
BACKLOG = 60
"""Frames that may wait to be decoded in MODE_LIVE, where later ones need them: decoding itself is too slow then."""
BACKLOG_BYTES = 32 << 20
"""And how large they may be together: two seconds of 128 Mb/s."""
EXIT = 2
LEAVE_SECONDS = 10.0
"""A thread that has not ended so long after its stream hangs in native code; it is left behind and logged."""

Belt = Channel[Job | End]


class Pipeline:
    """Frames in at one end, responses out at the other. All methods belong to the event loop."""

    def __init__(self, name: str, stages: Sequence[Stage], turns: Turns, *, lossless: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._lossless = lossless
        self._room = asyncio.Event()
        self._ready = asyncio.Event()
        self._ended = asyncio.Event()
        entry = Belt(ENTRY_LOSSLESS if lossless else ENTRY_LIVE, on_get=self._waker(self._room))
        belts = [Belt(1) for _ in stages[1:]]
        self._belts = [entry, *belts, Belt(EXIT, on_put=self._waker(self._ready))]
        self._running = len(stages)
        self._threads = [
            threading.Thread(
                # A context of its own: the stream's name is on what the thread logs.
                target=copy_context().run,
                args=(self._run, stage, source, sink, turns if stage.on_cores else None),
                name=f"{name}-{stage.name}",
                daemon=True,
            )
            for stage, source, sink in zip(stages, self._belts[:-1], self._belts[1:], strict=True)
        ]

    def start(self) -> None:
        """Start the threads; ``cancel`` and ``closed`` must follow one day."""
        for number, thread in enumerate(self._threads):
            try:
                thread.start()
            except RuntimeError:  # the machine has no thread left
                self._running -= len(self._threads) - number
                if not self._running:
                    self._ended.set()
                raise

    async def submit(self, job: Job) -> int:
        """Hand in a frame; how many were dropped for it. Lossless, or replayed: waits for room, 0. Raises Closed."""
        if not self._lossless and not job.replayed:
            return self._submit_dependent(job) if job.depends else _lost(self._belts[0].push_newest(job))
        self._room.clear()
        while not self._belts[0].try_put(job):
            await self._room.wait()
            self._room.clear()
        return 0

    def _submit_dependent(self, job: Job) -> int:
        """Frames above the entry's room are decoded and not shown; only far above it they are left out as well."""
        entry, dropped = self._belts[0], 0
        if len(entry) > BACKLOG or sum(entry.each(_waiting_bytes)) > BACKLOG_BYTES:
            dropped = _lost(entry.take_all())
            job.after_gap = True
        return dropped + entry.push_marking(job, _skip)

    def end(self, error: StreamError | None = None) -> None:
        """No more frames; those handed in still come out, and then ``error`` if there is one. Raises Closed."""
        self._belts[0].push(End(error))

    async def results(self) -> AsyncIterator[Job]:
        """The jobs that are through, in order; raises the error that ended the stream."""
        while True:
            self._ready.clear()
            item = self._belts[-1].try_get()
            if item is None:
                await self._ready.wait()
            elif isinstance(item, Job):
                yield item
            elif item.error is not None:
                raise item.error
            else:
                return

    def cancel(self) -> None:
        """Let go of every frame and let the threads end; may be called again."""
        for belt in self._belts:
            belt.close()
        self._room.set()

    async def closed(self) -> None:
        """Wait until the threads have ended; ``cancel`` makes them."""
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._ended.wait()
        except TimeoutError:
            left = ", ".join(thread.name for thread in self._threads if thread.is_alive())
            logger.error("threads still run %g s after the end of their stream: %s", LEAVE_SECONDS, left)
            return
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _run(self, stage: Stage, source: Belt, sink: Belt, turns: Turns | None) -> None:
        try:
            _drive(stage, source, sink, turns)
        except Closed:
            pass
        finally:
            source.close()
            self._call(self._leave)

    def _leave(self) -> None:
        self._running -= 1
        if not self._running:
            self._ended.set()

    def _waker(self, event: asyncio.Event) -> Callable[[], None]:
        return lambda: self._call(event.set)

    def _call(self, function: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:
            logger.debug("the event loop ended before its stream")


def _waiting_bytes(item: Job | End) -> int:
    return len(item.raw.data) if isinstance(item, Job) and item.raw is not None else 0


def _lost(items: Iterable[Job | End]) -> int:
    """How many of ``items`` are frames that somebody waits for."""
    return sum(isinstance(item, Job) and not item.skipped and not item.replayed for item in items)


def _skip(item: Job | End) -> bool:
    """Mark a frame as dropped; whether it was not so far."""
    if isinstance(item, End) or item.skipped or item.replayed:
        return False
    item.skipped = True
    return True


def _drive(stage: Stage, source: Belt, sink: Belt, turns: Turns | None) -> None:
    """One thread's life; raises Closed when the pipeline is cancelled."""
    try:
        while True:
            item = source.get()
            if isinstance(item, End):
                if item.flush:
                    for job in stage.flush():
                        sink.put(job)
                sink.put(item)
                return
            done: list[Job] = []
            try:
                with turns.turn(item.due_ns) if turns else nullcontext():
                    item.clock.lap("queue")
                    done.extend(stage.work(item))
            finally:  # what was finished before it failed is the client's
                for job in done:
                    sink.put(job)
    except Closed:
        raise
    except Undecodable as error:
        sink.put(End(error))
    except StreamError as error:
        sink.put(End(error, flush=False))
    except Exception:  # the last line of a thread: whatever it is, the client must learn of it
        logger.exception("the %s stage failed", stage.name)
        message = f"the {stage.name} stage failed; this is a fault of the server, whose log says more"
        sink.put(End(EngineFailure("INTERNAL", message, stage=stage.name), flush=False))
