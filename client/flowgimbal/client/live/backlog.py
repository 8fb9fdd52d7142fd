"""The units that a server needs to begin with: those since the last key frame. Between two threads."""

from __future__ import annotations

import threading
from collections.abc import Callable

from flowgimbal.client.sources.unit import Unit

MAX_UNITS = 1_000
MAX_BYTES = 64 << 20
"""A source that sends no key frames must not fill the memory: the oldest units go, which decoders survive."""

Stamped = tuple[int, Unit]  # time on the stream's clock [ns]


class Backlog:
    """Keeps what came since the last key frame, and knows what was sent. For pictures that stand alone: the newest.

    If ``lossless``, ``put`` waits until all before was taken: a pipe or a file is held back, and nothing is left out.
    """

    def __init__(self, on_put: Callable[[], None], *, lossless: bool = False) -> None:
        self._on_put = on_put
        self._holds = lossless
        self._lock = threading.Condition()
        self._units: list[Stamped] = []
        self._bytes = 0
        self._next = 0
        self._ended = False
        self._broken = False  # what is needed by those that follow was given up
        self.lost = 0
        """Units that were never sent."""

    def put(self, stamped: Stamped) -> None:
        """Add a unit; a key frame takes the place of all before it. From the source's thread."""
        unit = stamped[1]
        with self._lock:
            self._lock.wait_for(lambda: not self._holds or self._next >= len(self._units))
            if self._broken and not unit.key:
                self.lost += 1
                return
            if unit.key:
                self._broken = False
                self.lost += len(self._units) - self._next
                self._units.clear()
                self._bytes = self._next = 0
            self._units.append(stamped)
            self._bytes += len(unit.data)
            while len(self._units) > MAX_UNITS or self._bytes > MAX_BYTES:
                self._bytes -= len(self._units.pop(0)[1].data)
                self.lost += not self._next
                self._next = max(0, self._next - 1)
        self._on_put()

    def let_go(self) -> None:
        """Nobody takes any more: hold the source back no longer."""
        with self._lock:
            self._holds = False
            self._lock.notify()

    def end(self) -> None:
        """Nothing will follow."""
        self._ended = True
        self._on_put()

    @property
    def ended(self) -> bool:
        """Whether nothing follows and all was taken."""
        with self._lock:
            return self._ended and self._next >= len(self._units)

    @property
    def waiting(self) -> int:
        """Units that were not taken yet."""
        with self._lock:
            return len(self._units) - self._next

    def take(self) -> Stamped | None:
        """The next unit to send, None if there is none now."""
        with self._lock:
            if self._next >= len(self._units):
                return None
            self._next += 1
            self._lock.notify()
            return self._units[self._next - 1]

    def skip(self) -> None:
        """Give up what there is, and what follows up to the next key frame."""
        with self._lock:
            self.lost += len(self._units) - self._next
            self._units.clear()
            self._bytes = self._next = 0
            self._broken = True
            self._lock.notify()

    def rewind(self) -> None:
        """A new server: it needs all since the last key frame."""
        with self._lock:
            self._next = 0
