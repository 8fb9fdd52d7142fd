"""What the user sees: lines on stdout, complaints and progress on stderr."""

from __future__ import annotations

import sys
import time
from typing import Self


def say(line: str = "") -> None:
    """A line of result."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def complain(line: str) -> None:
    """A line about what went wrong."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


class Progress:
    """A bar on stderr that redraws itself ten times a second; silent where stderr is no terminal.

    ``total`` is in steps, 0 where nobody knows. A context manager: the bar is gone when the block ends.
    """

    WIDTH = 30
    SECONDS = 0.1

    def __init__(self, what: str, total: int = 0) -> None:
        self._what = what
        self._total = total
        self._done = 0
        self._started = self._drawn = time.monotonic()
        self._live = sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def expect(self, total: int) -> None:
        """Set the number of steps, once somebody knows."""
        self._total = total

    def step(self) -> None:
        """One more is done."""
        self._done += 1
        now = time.monotonic()
        if self._live and now - self._drawn >= self.SECONDS:
            self._drawn = now
            sys.stderr.write(f"\r{self.line(now - self._started)}\x1b[K")
            sys.stderr.flush()

    def line(self, seconds: float) -> str:
        """The bar as text, ``seconds`` after the start."""
        rate = self._done / max(seconds, 1e-9)
        if not self._total:
            return f"{self._what} {self._done} frames, {rate:.0f} fps"
        filled = min(self.WIDTH, self.WIDTH * self._done // self._total)
        bar = "#" * filled + "." * (self.WIDTH - filled)
        return f"{self._what} [{bar}] {self._done}/{self._total}, {rate:.0f} fps"
