"""How much may be spent in a second: a token bucket, pure, without a clock of its own."""

from __future__ import annotations

BURST_SECONDS = 1.0
"""What was not spent is kept for so long: cameras do not send evenly."""


class Budget:
    """Allows ``rate`` units a second, and a burst of what one second allows; more at once is paid for afterwards."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._left = rate * BURST_SECONDS
        self._last_ns: int | None = None

    def spend(self, units: float, now_ns: int) -> bool:
        """Whether ``units`` more are within the budget; they are taken if so. ``now_ns``: of a monotonic clock."""
        if self._last_ns is not None:
            self._left += self.rate * (now_ns - self._last_ns) * 1e-9
        self._last_ns = now_ns
        self._left = min(self._left, self.rate * BURST_SECONDS)
        if self.wait_seconds(units):
            return False
        self._left -= units
        return True

    def wait_seconds(self, units: float) -> float:
        """How long until ``units`` may be spent, 0 if now, as of the last call of ``spend``."""
        return max(0.0, min(units, self.rate * BURST_SECONDS) - self._left) / self.rate
