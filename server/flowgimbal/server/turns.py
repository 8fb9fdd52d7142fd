"""Whose turn it is to compute: a few threads at a time, the frame that came first before the others.

A stream has more threads than one. Were all of them to run whenever they can, they would take the caches and the
interpreter from each other, and a frame nearly done would wait while others begin (`docs/performance.md`).
"""

from __future__ import annotations

import heapq
import itertools
import math
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE_SECONDS = 1.0
"""Who waits longer goes on without a turn: a thread that hangs in native code must not hold up other streams."""

CPU_MAX = Path("/sys/fs/cgroup/cpu.max")


class Turns:
    """Hands out ``places`` turns at a time, to the earliest first. Thread-safe."""

    def __init__(self, places: int, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._free = places
        self._patience = patience_seconds
        self._lock = threading.Lock()
        self._waiting: list[tuple[int, int, threading.Event]] = []
        self._order = itertools.count()  # first come, first served among the equal

    @contextmanager
    def turn(self, due_ns: int) -> Iterator[None]:
        """Wait for a turn, and hold it; the smaller ``due_ns``, the sooner it comes."""
        self.take(due_ns)
        try:
            yield
        finally:
            self.give_back()

    def awaited(self, due_ns: int) -> bool:
        """Whether somebody waits whose turn should come before one of ``due_ns``."""
        with self._lock:
            return bool(self._waiting) and self._waiting[0][0] < due_ns

    def take(self, due_ns: int) -> None:
        """Wait for a turn; ``give_back`` must follow."""
        with self._lock:
            if self._free > 0:
                self._free -= 1
                return
            mine = (due_ns, next(self._order), threading.Event())
            heapq.heappush(self._waiting, mine)
        if mine[2].wait(self._patience):
            return
        with self._lock:
            if mine in self._waiting:  # else the turn came just now
                self._waiting.remove(mine)
                heapq.heapify(self._waiting)
                self._free -= 1

    def give_back(self) -> None:
        """Let the next have it."""
        with self._lock:
            self._free += 1
            while self._free > 0 and self._waiting:
                self._free -= 1
                heapq.heappop(self._waiting)[2].set()


class Turn:
    """The turn of one thread, which may keep it from one piece of work to the next."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.held = False

    def take(self, due_ns: int) -> None:
        """Have a turn: the one that is held, unless somebody waits whose turn should come before."""
        if self.held and not self._turns.awaited(due_ns):
            return
        self.leave()
        self._turns.take(due_ns)
        self.held = True

    def leave(self) -> None:
        """Give it back, if it is held."""
        if self.held:
            self.held = False
            self._turns.give_back()


def places() -> int:
    """Turns at a time for this process: one more than its cores, since the last core's thread waits for the others."""
    return cores() + 1


def cores() -> int:
    """Cores that this process may use."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(there, quota())


def quota(file: Path = CPU_MAX) -> int:
    """Cores' worth of time that a container (cgroup v2) may take, rounded up; as many as one likes if nobody says."""
    try:
        allowed, period = file.read_text().split()
        return max(1, math.ceil(int(allowed) / int(period)))
    except (OSError, ValueError):  # none, or "max"
        return sys.maxsize
