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
        self.error: BaseException | None = None
        self._asleep = threading.Lock()
        self._asleep.acquire()

    @property
    def answered(self) -> bool:
        return bool(self.results) or self.error is not None

    def sleep(self) -> None:
        self._asleep.acquire()

    def wake(self) -> None:
        self._asleep.release()


class Batcher(Generic[Item, Result]):
    """Calls ``work`` with items of one kind, as many as are there, in the thread of one of those who ask.

    Who asks while nobody is served leads: a single stream waits for no other thread, whose waking takes longer than
    much of the work. Who comes while a call is under way is in the next one, which the first of them leads. Before a
    call the leader waits until as many have come as were in the last one, but not for long: streams in step stay
    together, and a single stream never waits for company.
    """

    def __init__(self, work: Callable[[list[Item]], list[Result]], *, limit: int) -> None:
        self._work, self._limit = work, limit
        self._queue: deque[_Request[Item, Result]] = deque()
        self._changed = threading.Condition()
        self._led = self._closed = False
        self._company = 1

    def __call__(self, item: Item, kind: Hashable = None) -> Result:
        """The result for ``item``; raises what ``work`` raises for it, EngineError after ``close``."""
        request: _Request[Item, Result] = _Request(item, kind)
        with self._changed:
            if self._closed:
                raise EngineError("the engine is closed")
            self._queue.append(request)
            self._changed.notify()
            leads, self._led = not self._led, True
        if not leads:
            request.sleep()
        if not request.answered:
            try:
                self._serve(self._gather())
            finally:
                self._pass_on()
        if request.error is not None:
            raise request.error
        return request.results[0]

    def close(self) -> None:
        """Wait until what has been asked for is answered; nothing may be asked after."""
        with self._changed:
            self._closed = True
            self._changed.notify()
            self._changed.wait_for(lambda: not self._led)

    def _gather(self) -> list[_Request[Item, Result]]:
        """The next items of one kind; the leader's own is the first of the queue."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._queue) >= self._company or self._closed, PATIENCE_SECONDS)
            kind = self._queue[0].kind
            batch = [request for request in self._queue if request.kind == kind][: self._limit]
            taken = set(map(id, batch))
            self._queue = deque(request for request in self._queue if id(request) not in taken)
            self._company = len(batch)
            return batch

    def _serve(self, batch: list[_Request[Item, Result]]) -> None:
        """Answer them; all but the leader, who is the first, are asleep."""
        self._answer(batch)
        for request in batch[1:]:
            request.wake()

    def _answer(self, batch: list[_Request[Item, Result]]) -> None:
        try:
            results = self._work([request.item for request in batch])
        except BaseException as error:  # noqa: BLE001  # whatever it is, those who wait must learn of it
            if len(batch) == 1:
                batch[0].error = error
                return
            logger.warning("a batch of %d failed (%s); each is tried alone", len(batch), error)
            for request in batch:  # one stream's trouble is not the others'
                self._answer([request])
            return
        for request, result in zip(batch, results, strict=True):
            request.results.append(result)

    def _pass_on(self) -> None:
        with self._changed:
            self._led = bool(self._queue)
            if self._queue:
                self._queue[0].wake()
            else:
                self._changed.notify_all()
