"""Any iterable of frames as an asynchronous one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


async def pull(items: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    """The items, in order. A synchronous iterator is read in a thread of its own, one item ahead of nobody.

    A camera or a decoder blocks while it waits for its next picture; on the event loop it would hold up the frames
    that come back. Its ``close()``, if any, is called in the same thread at the end.
    """
    if isinstance(items, AsyncIterable):
        async for item in items:
            yield item
        return
    if isinstance(items, (list, tuple)):
        for item in items:
            yield item
        return
    iterator = iter(items)

    def following() -> tuple[T] | None:  # StopIteration does not cross a future
        for item in iterator:
            return (item,)
        return None

    loop = asyncio.get_running_loop()
    pool = ThreadPoolExecutor(1, "flowgimbal-frames")
    try:
        while (found := await loop.run_in_executor(pool, following)) is not None:
            yield found[0]
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            pool.submit(close)
        # A read that blocks for ever must not hold the caller: the thread goes when the read returns.
        pool.shutdown(wait=False)
