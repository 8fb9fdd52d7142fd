"""The belt between two stages: a bounded queue between two threads that either side can shut."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Closed(Exception):  # noqa: N818 - not an error: the other side went away
    """The channel is shut; what was in it is gone."""


class Channel(Generic[T]):
    """First in, first out. ``put`` waits while it is full, ``get`` while it is empty, both until ``close``.

    An end that lives on an event loop uses the ``try_`` calls and is woken by ``on_put`` or ``on_get``, which are
    called in the other end's thread after each item.
    """

    def __init__(
        self,
        capacity: int,
        on_put: Callable[[], None] | None = None,
        on_get: Callable[[], None] | None = None,
    ) -> None:
        self._capacity = capacity
        self._on_put = on_put
        self._on_get = on_get
        self._items: deque[T] = deque()
        self._closed = False
        lock = threading.Lock()
        self._not_empty = threading.Condition(lock)
        self._not_full = threading.Condition(lock)

    def put(self, item: T) -> None:
        """Add an item, waiting for room; raises Closed."""
        with self._not_full:
            while len(self._items) >= self._capacity and not self._closed:
                self._not_full.wait()
            self._append(item)
        if self._on_put is not None:
            self._on_put()

    def try_put(self, item: T) -> bool:
        """Add an item if there is room, and say so; raises Closed."""
        with self._not_full:
            if len(self._items) >= self._capacity and not self._closed:
                return False
            self._append(item)
            return True

    def push(self, item: T) -> None:
        """Add an item at once, above the capacity if need be; raises Closed."""
        with self._not_full:
            self._append(item)

    def push_newest(self, item: T) -> list[T]:
        """Add an item at once and take out the oldest ones above the capacity; raises Closed."""
        with self._not_full:
            self._append(item)
            return [self._items.popleft() for _ in range(len(self._items) - self._capacity)]

    def push_marking(self, item: T, mark: Callable[[T], bool]) -> int:
        """Add an item at once and ``mark`` the oldest ones above the capacity, which stay; how many marks were new."""
        with self._not_full:
            self._append(item)
            return sum(mark(late) for late in list(self._items)[: -self._capacity])

    def take_all(self) -> list[T]:
        """Everything in it; raises Closed."""
        with self._not_full:
            if self._closed:
                raise Closed
            items = list(self._items)
            self._items.clear()
            self._not_full.notify_all()
            return items

    def each(self, of: Callable[[T], int]) -> list[int]:
        """``of`` each item in it, in order."""
        with self._not_full:
            return [of(item) for item in self._items]

    def __len__(self) -> int:
        return len(self._items)

    def get(self) -> T:
        """The oldest item, waiting for one; raises Closed."""
        with self._not_empty:
            while not self._items and not self._closed:
                self._not_empty.wait()
            if self._closed:
                raise Closed
            item = self._items.popleft()
            self._not_full.notify()
        if self._on_get is not None:
            self._on_get()
        return item

    def try_get(self) -> T | None:
        """The oldest item, None if there is none; raises Closed."""
        with self._not_empty:
            if self._closed:
                raise Closed
            if not self._items:
                return None
            self._not_full.notify()
            return self._items.popleft()

    def close(self) -> None:
        """Shut the channel and drop what is in it; wakes everybody who waits. May be called again."""
        with self._not_full:
            self._closed = True
            self._items.clear()
            self._not_full.notify_all()
            self._not_empty.notify_all()

    def _append(self, item: T) -> None:
        if self._closed:
            raise Closed
        self._items.append(item)
        self._not_empty.notify()
