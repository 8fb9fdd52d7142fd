"""The source's clock, carried on through its restarts."""

from __future__ import annotations

JUMP_NS = 10_000_000_000
"""A unit this much later than the one before is of another clock."""
REORDERED_NS = 1_000_000_000
"""Times go back by less than this where pictures are reordered; a clock that goes back farther began anew."""
MOST_NS = 1 << 62
"""Beyond it a time is none."""


class SourceClock:
    """Turns the source's times into those of the stream: the same while the clock runs on, never back by a restart."""

    def __init__(self) -> None:
        self._offset: int | None = None
        self._last_ns = 0
        self._last_now_ns = 0
        self._restarted = False

    def restart(self) -> None:
        """The source was opened anew: its clock may begin anywhere."""
        self._restarted = self._offset is not None

    def stamp(self, source_ns: int | None, now_ns: int) -> int:
        """The time of a unit [ns]. ``now_ns`` is this machine's monotonic clock: it bridges gaps and missing times."""
        if source_ns is not None and abs(source_ns) > MOST_NS:
            source_ns = None
        if self._offset is None:
            self._offset = 0
            stamped = now_ns if source_ns is None else source_ns
        else:
            bridged = self._last_ns + max(1, now_ns - self._last_now_ns)
            if source_ns is None:
                stamped = bridged
            else:
                stamped = source_ns + self._offset
                if self._restarted or not -REORDERED_NS <= stamped - self._last_ns <= JUMP_NS:
                    self._offset = bridged - source_ns
                    stamped = bridged
                    self._restarted = False
        self._last_ns, self._last_now_ns = stamped, now_ns
        return stamped
