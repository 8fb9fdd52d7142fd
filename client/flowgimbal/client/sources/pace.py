"""Recorded units at the pace at which they were taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator

from flowgimbal.client.sources.unit import Unit


def paced(
    units: Iterable[Unit],
    clock: Callable[[], int] = time.monotonic_ns,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[Unit]:
    """The units, each held back until its time (of decoding) has come, counted from the first one's."""
    begin: int | None = None
    for unit in units:
        due = unit.time_ns if unit.decode_ns is None else unit.decode_ns
        if due is not None:
            if begin is None:
                begin = clock() - due
            ahead = begin + due - clock()
            if ahead > 0:
                sleep(ahead / 1e9)
        yield unit
