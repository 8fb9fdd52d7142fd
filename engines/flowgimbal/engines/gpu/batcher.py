"""Gathers what several streams ask of one network into one call."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from flowgimbal.engines.engine import EngineError

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

PATIENCE_SECONDS = 0.0005


class _Request(Generic[Item, Result]):
    """What one thread asks; it sleeps until it is answered or has to lead."""

    def __init__(self, item: Item, kind: Hashable) -> None:
        self.item, self.kind = item, kind
        self.results: list[Result] = []
        self.error: Exception | None = None
        self.leads = False
        self._asleep = threading.Lock()
        self._asleep.acquire()

    def sleep(self) -> None:
        self._asleep.acquire()

    def wake(self) -> None:
        self._asleep.release()


class Batcher(Generic[Item, Result]):
    """Calls ``work`` with items of one kind, as many as are there, in the thread of one of those who ask.

    Who asks while nobody is served leads: a single stream waits for no other thread, whose waking takes longer than
    much of the work. Who comes while a call is under way is in the next one, which the first of them leads. Before a
    call the leader waits until as many have come as were in the last one of its kind, but not for long: streams in step
    stay together, and a stream that is alone never waits for company.
    """

    def __init__(self, work: Callable[[list[Item]], list[Result]], *, limit: int) -> None:
        self._work, self._limit = work, limit
        self._queue: deque[_Request[Item, Result]] = deque()
        self._changed = threading.Condition()
        self._led = self._closed = False
        self._company: dict[Hashable, int] = {}

    def __call__(self, item: Item, kind: Hashable = None) -> Result:
        """The result for ``item``; raises what ``work`` raises for it, EngineError after ``close``."""
        request: _Request[Item, Result] = _Request(item, kind)
        with self._changed:
            if self._closed:
                raise EngineError("the engine is closed")
            self._queue.append(request)
            self._changed.notify()
            request.leads, self._led = not self._led, True
        try:
            if not request.leads:
                request.sleep()
            if request.leads:
                self._serve(self._gather(request))
        finally:  # an interrupt in here must not leave the others without a leader
            self._leave(request)
        if request.error is None:
            return request.results[0]
        try:
            raise request.error
        finally:  # or error and request would keep each other, and the card's memory that the error's frames refer to
            request.error = None

    def close(self) -> None:
        """Wait until what has been asked for is answered; nothing may be asked after."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._led)

    def _gather(self, leader: _Request[Item, Result]) -> list[_Request[Item, Result]]:
        """The next items of the leader's kind, its own first."""

        def alike() -> list[_Request[Item, Result]]:
            return [request for request in self._queue if request.kind == leader.kind][: self._limit]

        with self._changed:
            company = self._company.get(leader.kind, 1)
            self._changed.wait_for(lambda: len(alike()) >= company or self._closed, PATIENCE_SECONDS)
            batch = alike()
            taken = set(map(id, batch))
            self._queue = deque(request for request in self._queue if id(request) not in taken)
            self._company[leader.kind] = len(batch)
            return batch

    def _serve(self, batch: list[_Request[Item, Result]]) -> None:
        """Answer them; all but the leader, who is the first, are asleep."""
        try:
            self._answer(batch)
        finally:
            for request in batch[1:]:
                if not request.results and request.error is None:
                    request.error = EngineError("the call was interrupted")
                request.wake()

    def _answer(self, batch: list[_Request[Item, Result]]) -> None:
        try:
            results = self._work([request.item for request in batch])
        except Exception as error:  # noqa: BLE001  # whatever it is, those who wait must learn of it
            if len(batch) == 1:
                batch[0].error = error
                return
            logger.warning("a batch of %d failed (%s); each is tried alone", len(batch), error)
            for request in batch:  # one stream's trouble is not the others'
                self._answer([request])
            return
        for request, result in zip(batch, results, strict=True):
            request.results.append(result)

    def _leave(self, request: _Request[Item, Result]) -> None:
        with self._changed:
            if request in self._queue:
                self._queue.remove(request)
            if not request.leads:
                return
            self._led = bool(self._queue)
            if self._queue:
                self._queue[0].leads = True
                self._queue[0].wake()
            else:
                self._changed.notify_all()
