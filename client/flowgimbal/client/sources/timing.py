"""Presentation times that rise, whatever the container says."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

REORDERED = 4
"""Frames within which a container's times may be out of order. Each costs one decoded picture of memory."""


def rising(stamped: Iterable[tuple[int | None, T]], step: int) -> Iterator[tuple[int, T]]:
    """The items in the order they come, with times [ticks] that rise strictly.

    Containers lie: AVI numbers B-frames in the order of decoding, edit lists repeat a time. The pictures come from the
    decoder in the right order, so the k-th picture gets the k-th smallest time; a time that is repeated moves on by one
    tick, a missing one is ``step`` after the one before. Times that rise already are left alone.
    """
    times: list[int] = []
    items: deque[T] = deque()
    newest: int | None = None
    last: int | None = None

    def next_time() -> int:
        nonlocal last
        time = heapq.heappop(times)
        last = time if last is None else max(time, last + 1)
        return last

    for time, item in stamped:
        if time is None:
            time = 0 if newest is None else newest + step
        newest = time if newest is None else max(newest, time)
        heapq.heappush(times, time)
        items.append(item)
        if len(items) > REORDERED:
            yield next_time(), items.popleft()
    while items:
        yield next_time(), items.popleft()
