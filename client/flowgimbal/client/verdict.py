"""The status that the server ended a call with, kept safe from a flaw of grpc.aio.

A write that is under way while the server ends the stream fails, and grpc.aio (seen in 1.83 and 1.85;
https://github.com/grpc/grpc/issues/36066) then replaces the call's status by INTERNAL, "Internal error from Core", even
where the server's own status has come in before: of streams that are refused while they send, every third loses its
reason. So it is copied in the moment it arrives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import grpc

T = TypeVar("T")

WRITE_FAILED = "Internal error from Core"
_STEP_SECONDS = 0.01
_STEPS = 100


class Verdict:
    """Watches ``call``; ``error()`` says how it ended."""

    def __init__(self, call: grpc.aio.Call) -> None:
        self._call = call
        self._kept: grpc.aio.AioRpcError | None = None
        call.add_done_callback(self._keep)

    @property
    def cancelled(self) -> bool:
        """True if this side has cancelled the call."""
        return self._call.cancelled()

    async def error(self) -> grpc.aio.AioRpcError | None:
        """How the server ended the call: its status, OK included; None while the call runs or if this side ended it.

        Waits for a second at most for a status that is on its way.
        """
        if not self._call.done() or self._call.cancelled():
            return None
        for _ in range(_STEPS):
            self._keep(self._call)
            if self._kept is not None:
                return self._kept
            await asyncio.sleep(_STEP_SECONDS)
        return _error_of(self._call)

    def _keep(self, call: Any) -> None:
        if self._kept is None:
            error = _error_of(call)
            if error.details() != WRITE_FAILED:
                self._kept = error


def _error_of(call: Any) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(
        _at_once(call.code()),
        _at_once(call.initial_metadata()),
        _at_once(call.trailing_metadata()),
        details=_at_once(call.details()),
    )


def _at_once(question: Coroutine[Any, Any, T]) -> T:
    """The answer of a coroutine that need not wait: the call is done, and in a callback there is no awaiting."""
    try:
        question.send(None)
    except StopIteration as stop:
        answer: T = stop.value
        return answer
    question.close()
    raise RuntimeError("a call that is done has no status")
