"""What a process and its children hold, now and then."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Held:
    """Of a process and all its children together, ``seconds`` after the watch began."""

    seconds: float
    mebibytes: float
    threads: int
    descriptors: int

    def __str__(self) -> str:
        return f"{self.mebibytes:.1f} MiB, {self.threads} threads, {self.descriptors} descriptors"


class Watch:
    """Takes samples of a process and its children."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._began = time.monotonic()
        self.samples: list[Held] = []

    def take(self) -> Held:
        """One more sample; a process that ends meanwhile is left out of it."""
        memory, threads, descriptors = 0, 0, 0
        for process in self._family():
            try:
                with process.oneshot():
                    memory += process.memory_info().rss
                    threads += process.num_threads()
                    descriptors += process.num_fds()
            except psutil.NoSuchProcess:
                continue
        held = Held(time.monotonic() - self._began, memory / 2**20, threads, descriptors)
        self.samples.append(held)
        return held

    def _family(self) -> list[psutil.Process]:
        """The process and its children; those that come or go just now may be missing."""
        try:
            return [self._root, *self._root.children(recursive=True)]
        except psutil.NoSuchProcess:  # a child went while they were counted
            return [self._root]

    def growth(self, share: float = 0.1) -> Held:
        """Medians of the last ``share`` of the samples less those of as many after the first ``share``."""
        count = max(1, int(len(self.samples) * share))
        early, late = self.samples[count : 2 * count] or self.samples[:1], self.samples[-count:]
        return Held(
            late[-1].seconds - early[0].seconds,
            _median(late, "mebibytes") - _median(early, "mebibytes"),
            round(_median(late, "threads") - _median(early, "threads")),
            round(_median(late, "descriptors") - _median(early, "descriptors")),
        )


def report(line: str) -> None:
    """Print at once: a soak is read while it runs."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _median(samples: list[Held], what: str) -> float:
    values = sorted(getattr(sample, what) for sample in samples)
    return float(values[len(values) // 2])
