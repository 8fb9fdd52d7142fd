"""Shots to several sinks at a time; a slow or broken one harms no other."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Iterable
from contextlib import suppress

from flowgimbal.client.sinks.shot import Shot, Sink

logger = logging.getLogger(__name__)

ROOM = 64
"""Shots that may wait for one sink; then all are left out up to the next key frame."""
RETRY_SECONDS = 1.0
CLOSE_SECONDS = 10.0


class Outlet(threading.Thread):
    """One sink and the thread that serves it. What fails is said once, and tried again after a pause."""

    def __init__(self, sink: Sink) -> None:
        super().__init__(name=f"flowgimbal-sink-{sink.name}", daemon=True)
        self._sink = sink
        self._shots: queue.Queue[Shot | None] = queue.Queue(ROOM)
        self._needs_key = True
        self._failed_at: float | None = None
        self._retry_at = 0.0
        self.written = 0
        self.left_out = 0

    def put(self, shot: Shot) -> None:
        """Hand in a shot, or leave it out if the sink cannot follow. Never waits."""
        if self._needs_key and not shot.key:
            self.left_out += 1
            return
        try:
            self._shots.put_nowait(shot)
            self._needs_key = False
        except queue.Full:
            self.left_out += 1
            self._needs_key = True

    def end(self, limit: float) -> None:
        """No more shots; waits for room to say so until ``limit`` on the monotonic clock [s]. ``join`` then waits."""
        with suppress(queue.Full):
            self._shots.put(None, timeout=max(0.001, limit - time.monotonic()))

    def run(self) -> None:
        """The thread's life."""
        while (shot := self._shots.get()) is not None:
            if self._failed_at is not None and (time.monotonic() < self._retry_at or not shot.key):
                self.left_out += 1
                continue
            try:
                self._sink.write(shot)
            except Exception as error:  # noqa: BLE001 - whatever a sink's libraries throw: it is tried again, and the others go on
                self._failed(error)
            else:
                self._worked()
        try:
            self._sink.close()
        except Exception as error:  # noqa: BLE001
            logger.error("%s: not completed: %s", self._sink.name, error)

    def _failed(self, error: Exception) -> None:
        self.left_out += 1
        self._retry_at = time.monotonic() + RETRY_SECONDS
        if self._failed_at is None:
            self._failed_at = time.monotonic()
            logger.warning("a sink fails: %s; trying again", error)

    def _worked(self) -> None:
        self.written += 1
        if self._failed_at is not None:
            logger.info("%s: written again after %.1f s", self._sink.name, time.monotonic() - self._failed_at)
            self._failed_at = None


class Fan:
    """All sinks. Shots whose time does not rise, as those sent twice to a new server, are left out if ``once``."""

    def __init__(self, sinks: Iterable[Sink], *, once: bool = True) -> None:
        self._once = once
        self.outlets = [Outlet(sink) for sink in sinks]
        self._last_ns: int | None = None
        for outlet in self.outlets:
            outlet.start()

    def put(self, shot: Shot) -> bool:
        """Hand a shot to every sink; whether it was new."""
        time_ns = shot.time_ns if shot.decode_ns is None else shot.decode_ns
        if self._once and self._last_ns is not None and time_ns <= self._last_ns:
            return False
        self._last_ns = time_ns
        for outlet in self.outlets:
            outlet.put(shot)
        return True

    def close(self) -> None:
        """Complete every sink."""
        limit = time.monotonic() + CLOSE_SECONDS
        for outlet in self.outlets:
            outlet.end(limit)
        for outlet in self.outlets:
            outlet.join(max(0.0, limit - time.monotonic()))
            if outlet.is_alive():
                logger.error("%s: not completed within %g s", outlet.name, CLOSE_SECONDS)
