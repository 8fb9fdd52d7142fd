"""Metadata on its way beside the pictures, which go through a server that knows nothing of it."""

from __future__ import annotations

from collections import deque

from flowgimbal.client.sources.unit import Klv

MAX_WAITING = 1_000
"""Units whose metadata may wait for their pictures; then the oldest goes."""


class Metadata:
    """Gives out what came with a unit when the first picture is back that is not older: a dropped one loses none."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, tuple[Klv, ...]]] = deque(maxlen=MAX_WAITING)
        self._newest_ns: int | None = None
        self._known = False

    def put(self, time_ns: int, klv: tuple[Klv, ...] | None) -> None:
        """A unit is sent; one that is sent again, to another server, brings nothing new."""
        self._known = self._known or klv is not None
        if klv and (self._newest_ns is None or time_ns > self._newest_ns):
            self._waiting.append((time_ns, klv))
            self._newest_ns = time_ns

    def take(self, time_ns: int) -> tuple[Klv, ...] | None:
        """What belongs to a picture of that time; None if the source has no metadata."""
        if not self._known:
            return None
        due = []
        while self._waiting and self._waiting[0][0] <= time_ns:
            at, klv = self._waiting.popleft()
            due += [Klv(at + one.offset_ns - time_ns, one.data) for one in klv]
        return tuple(due)
