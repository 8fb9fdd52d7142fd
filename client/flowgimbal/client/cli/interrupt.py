"""Ctrl-C and SIGTERM for commands that run an event loop: the work is cancelled, and cleans up.

An exception that a signal's handler throws would surface anywhere, in the middle of the event loop or of gRPC.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T], loop: Callable[[], asyncio.AbstractEventLoop] | None = None) -> T:
    """``asyncio.run``, but a signal cancels ``work``, and KeyboardInterrupt is what comes of it; a second one kills.

    ``loop`` makes the event loop, where another one than asyncio's is wanted.
    """

    async def main() -> T:
        task = asyncio.ensure_future(work)
        with signals(task.cancel):
            return await task

    try:
        with asyncio.Runner(loop_factory=loop) as runner:
            return runner.run(main())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


@contextmanager
def signals(handler: Callable[[], object], *, times: int = 1) -> Iterator[None]:
    """Call ``handler``, on the running event loop, for the first signals; those that follow kill."""
    loop = asyncio.get_running_loop()
    wanted = [signal.SIGTERM, signal.SIGINT]
    left = times

    def forget() -> None:
        for number in wanted:
            loop.remove_signal_handler(number)

    def heard() -> None:
        nonlocal left
        left -= 1
        if not left:
            forget()
        handler()

    try:
        for number in wanted:
            loop.add_signal_handler(number, heard)
    except (ValueError, RuntimeError):  # not the main thread: a program calls us, and signals are its own business
        wanted.clear()
    try:
        yield
    finally:
        forget()
