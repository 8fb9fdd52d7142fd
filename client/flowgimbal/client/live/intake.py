"""Reads the source in a thread of its own, and opens it again whenever it goes away."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from flowgimbal.client.errors import MediaError
from flowgimbal.client.live.backlog import Backlog
from flowgimbal.client.live.clock import SourceClock
from flowgimbal.client.sources.unit import LiveSource, Silent, Unit

logger = logging.getLogger(__name__)

RETRY_SECONDS = (0.25, 1.0)
"""The pause before the source is opened again, at first and at most."""


class Intake(threading.Thread):
    """Fills ``backlog``; ``on_unit`` sees every unit with its time, for recordings.

    A daemon: a read that waits for a packet cannot be broken off, and must not keep the process alive. ``failure`` is
    why a source that cannot be opened at the first attempt, or a file, ended the matter.
    """

    def __init__(
        self,
        open_source: Callable[[], LiveSource],
        backlog: Backlog,
        on_unit: Callable[[int, Unit], None] = lambda *_: None,
    ) -> None:
        super().__init__(name="flowgimbal-source", daemon=True)
        self._open = open_source
        self._backlog = backlog
        self._on_unit = on_unit
        self._clock = SourceClock()
        self._stopping = threading.Event()
        self._pause = RETRY_SECONDS[0]
        self._lost_at: float | None = None
        self.failure: MediaError | None = None
        self.units = 0
        self.last_unit: float | None = None
        """When the last unit came, on the monotonic clock [s]; None while there is none, or the source is held back."""

    def stop(self) -> None:
        """Read no more; the thread ends when the source next gives a unit or fails."""
        self._stopping.set()
        self._backlog.let_go()

    def run(self) -> None:
        """The thread's life."""
        try:
            while not self._stopping.is_set():
                try:
                    if self._read():
                        return
                    self._went(MediaError("it ended"))
                except Silent:  # the watch over the units says so
                    self._clock.restart()
                    continue
                except MediaError as error:
                    if self.failure is not None:
                        return
                    self._went(error)
                self._stopping.wait(self._pause)
                self._pause = min(2 * self._pause, RETRY_SECONDS[1])
        finally:
            self._backlog.end()

    def _read(self) -> bool:
        """Read the source until its end; whether that is the end of the matter."""
        source = self._open()
        try:
            with source:
                for unit in source.units():
                    if self._stopping.is_set():
                        return True
                    self._take(unit)
        except Silent:
            raise
        except Exception as error:  # whatever a source's libraries throw: the thread must go on, or say why not
            fault = error if isinstance(error, MediaError) else MediaError(f"the source failed: {error!r}")
            if source.ends or not self.units:
                self.failure = fault
            raise fault from error
        return source.ends

    def _take(self, unit: Unit) -> None:
        now = time.monotonic()
        if self._lost_at is not None:
            logger.info("the source is back after %.1f s", now - self._lost_at)
            self._lost_at, self._pause = None, RETRY_SECONDS[0]
        stamped = self._clock.stamp(unit.time_ns, int(now * 1e9))
        self.units += 1
        self.last_unit = None
        self._on_unit(stamped, unit)
        self._backlog.put((stamped, unit))
        self.last_unit = time.monotonic()

    def _went(self, error: MediaError) -> None:
        self._clock.restart()
        if self._lost_at is None:
            self._lost_at = time.monotonic()
            logger.warning("the source is gone: %s; trying again", error)
