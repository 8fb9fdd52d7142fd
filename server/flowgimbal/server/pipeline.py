"""The road of one stream, and the threads that carry its frames along it: the event loop's side of both.

Decoding, networks, sampling and encoding release the GIL, so that with several threads the slowest stage sets the pace
and not the sum of all. Every wait ends when the pipeline is cancelled.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextvars import copy_context

from flowgimbal.server.channel import Closed
from flowgimbal.server.errors import StreamError
from flowgimbal.server.job import End, Job
from flowgimbal.server.road import Belt, Road
from flowgimbal.server.stages import Stage
from flowgimbal.server.turns import Turns, cores

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


class Pipeline:
    """Frames in at one end, responses out at the other. All methods belong to the event loop."""

    def __init__(self, name: str, stages: Sequence[Stage], turns: Turns, *, lossless: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._lossless = lossless
        self._room = asyncio.Event()
        self._ready = asyncio.Event()
        self._ended = asyncio.Event()
        # Nothing in here refers back to it: with the pipeline the stages go, and their decoders, at once.
        self._entry = Belt(ENTRY_LOSSLESS if lossless else ENTRY_LIVE, on_get=_waker(self._loop, self._room))
        self._exit = Belt(EXIT, on_put=_waker(self._loop, self._ready))
        self._road = Road(stages, self._entry, self._exit, turns)
        # While a card works, its thread only waits: there can be more of them than cores.
        count = min(len(stages), cores()) if all(stage.on_cores for stage in stages) else len(stages)
        self._threads = [
            # A context of its own: the stream's name is on what the thread logs.
            threading.Thread(target=copy_context().run, args=(self._run,), name=f"{name}-{number}", daemon=True)
            for number in range(count)
        ]
        self._running = len(self._threads)

    def start(self) -> None:
        """Start the threads; ``cancel`` and ``closed`` must follow one day."""
        for number, thread in enumerate(self._threads):
            try:
                thread.start()
            except RuntimeError:  # the machine has no thread left: one is enough
                self._running = number
                if not number:
                    self._ended.set()
                    raise
                logger.warning("no more than %d threads for this stream: the machine has none left", number)
                return

    async def submit(self, job: Job) -> int:
        """Hand in a frame; how many were dropped for it. Lossless, or replayed: waits for room, 0. Raises Closed."""
        if not self._lossless and not job.replayed:
            return self._submit_dependent(job) if job.depends else _lost(self._entry.push_newest(job))
        self._room.clear()
        while not self._entry.try_put(job):
            await self._room.wait()
            self._room.clear()
        return 0

    def _submit_dependent(self, job: Job) -> int:
        """Frames above the entry's room are decoded and not shown; only far above it they are left out as well."""
        entry, dropped = self._entry, 0
        if len(entry) > BACKLOG or sum(entry.each(_waiting_bytes)) > BACKLOG_BYTES:
            dropped = _lost(entry.take_all())
            job.after_gap = True
        return dropped + entry.push_marking(job, _skip)

    def end(self, error: StreamError | None = None) -> None:
        """No more frames; those handed in still come out, and then ``error`` if there is one. Raises Closed."""
        self._entry.push(End(error))

    async def results(self) -> AsyncIterator[Job]:
        """The jobs that are through, in order; raises the error that ended the stream."""
        while True:
            self._ready.clear()
            item = self._exit.try_get()
            if item is None:
                await self._ready.wait()
            elif isinstance(item, Job):
                yield item
            elif item.error is not None:
                try:
                    raise item.error
                finally:
                    del item  # or this frame and the error would keep each other, and the stages with them
            else:
                return

    def cancel(self) -> None:
        """Let go of every frame and let the threads end; may be called again."""
        self._road.close()
        self._room.set()

    async def closed(self) -> None:
        """Wait until the threads have ended; ``cancel`` makes them."""
        try:
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._ended.wait()
        except TimeoutError:
            where = ", ".join(self._road.at_work)
            logger.error("threads still run %g s after the end of their stream, in: %s", LEAVE_SECONDS, where)
            return
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def _run(self) -> None:
        try:
            self._road.carry()
        except Closed:
            pass
        finally:
            _call(self._loop, self._leave)

    def _leave(self) -> None:
        self._running -= 1
        if not self._running:
            self._ended.set()


def _waker(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> Callable[[], None]:
    return lambda: _call(loop, event.set)


def _call(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    try:
        loop.call_soon_threadsafe(function)
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
