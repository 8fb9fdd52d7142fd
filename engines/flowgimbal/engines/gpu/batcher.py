"""Gathers what several streams ask of one network into one call."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, NamedTuple, TypeVar

from flowgimbal.engines.engine import EngineError

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")

PATIENCE_SECONDS = 0.0005


class _Request(NamedTuple, Generic[Item, Result]):
    kind: Hashable
    item: Item
    future: Future[Result]


class Batcher(Generic[Item, Result]):
    """Calls ``work`` with items of one kind, as many as are there, in a thread of its own.

    Who comes while a call is under way is in the next one. Before a call it waits until as many have come as were in
    the last one, but not for long: streams in step stay together, and a single stream never waits for company.
    """

    def __init__(self, work: Callable[[list[Item]], list[Result]], *, limit: int, name: str) -> None:
        self._work, self._limit = work, limit
        self._queue: deque[_Request[Item, Result]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def __call__(self, item: Item, kind: Hashable = None) -> Result:
        """The result for ``item``; raises what ``work`` raises for it, EngineError after ``close``."""
        request: _Request[Item, Result] = _Request(kind, item, Future())
        with self._changed:
            if self._closed:
                raise EngineError("the engine is closed")
            self._queue.append(request)
            self._changed.notify()
        return request.future.result()

    def close(self) -> None:
        """Finish what has been asked for and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        company = 1
        while batch := self._gather(company):
            company = len(batch)
            self._serve(batch)

    def _gather(self, company: int) -> list[_Request[Item, Result]]:
        """The next items of one kind; none after the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed)
            self._changed.wait_for(lambda: len(self._queue) >= company or self._closed, PATIENCE_SECONDS)
            if not self._queue:
                return []
            kind = self._queue[0].kind
            batch = [request for request in self._queue if request.kind == kind][: self._limit]
            taken = set(map(id, batch))
            self._queue = deque(request for request in self._queue if id(request) not in taken)
            return batch

    def _serve(self, batch: list[_Request[Item, Result]]) -> None:
        try:
            results = self._work([request.item for request in batch])
        except Exception as error:  # noqa: BLE001  # whatever it is, those who wait must learn of it
            if len(batch) == 1:
                batch[0].future.set_exception(error)
                return
            logger.warning("a batch of %d failed (%s); each is tried alone", len(batch), error)
            for request in batch:  # one stream's trouble is not the others'
                self._serve([request])
            return
        for request, result in zip(batch, results, strict=True):
            request.future.set_result(result)
