"""Bounds what small requests may cost: until it is read whole, each of them may become as large as a message may be.

Only ``Stream`` has places of its own. All other methods share a few readings at a time, for a short while each, so that
clients that announce much and send it slowly, or never, hold a bounded amount of memory and keep nobody out for long.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio

from flowgimbal.server.errors import InvalidArgument, StreamError, TimedOut, TooMany
from flowgimbal.server.inbox import receive
from flowgimbal.server.interceptor import abort

READINGS = 16
"""Requests that are read at a time."""
READ_SECONDS = 2.0
"""For a small request to come in whole."""
QUEUE_SECONDS = 5.0
"""That a call waits for its turn to be read."""
LOCAL = "unix:"
"""Callers on this machine, probes among them, do not queue with others."""


class Readings:
    """Turns at reading a request. Belongs to the event loop."""

    def __init__(self, places: int = READINGS) -> None:
        self._places = asyncio.Semaphore(places)

    @asynccontextmanager
    async def turn(self, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[None]:
        """Hold one while the body runs; raises TooMany if none comes free, TimedOut if the body takes too long."""
        if str(context.peer()).startswith(LOCAL):
            yield
            return
        try:
            async with asyncio.timeout(QUEUE_SECONDS):
                await self._places.acquire()
        except TimeoutError:
            message = "too many requests wait to be read; retry later"
            raise TooMany("TOO_MANY_REQUESTS", message, retry_after_seconds=QUEUE_SECONDS) from None
        try:
            async with asyncio.timeout(READ_SECONDS):
                yield
        except TimeoutError:
            message = f"the request did not come in whole within {READ_SECONDS:g} s"
            raise TimedOut("REQUEST_TOO_SLOW", message) from None
        finally:
            self._places.release()


class Quota(grpc.aio.ServerInterceptor):
    """Reads the one request of unary methods itself, in turn; methods whose clients stream are left alone."""

    def __init__(self, readings: Readings) -> None:
        self._readings = readings

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """A handler that does the same, on the wire as well."""
        handler = await continuation(handler_call_details)
        if handler is None or handler.request_streaming:
            return handler
        # To gRPC the client streams one request: so it is read when we say so, and not before we are asked.
        return grpc.stream_stream_rpc_method_handler(
            self._one_by_one(handler), handler.request_deserializer, handler.response_serializer
        )

    def _one_by_one(self, handler: grpc.RpcMethodHandler[Any, Any]) -> Any:
        unary: Any = handler.unary_unary
        streaming: Any = handler.unary_stream

        async def handle(_: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
            try:
                async with self._readings.turn(context):
                    request = await receive(context)
                if request is grpc.aio.EOF:
                    raise InvalidArgument("NO_REQUEST", "the call ended without a request; send one")
            except StreamError as error:
                await abort(context, error)
                return
            answering = (unary or streaming)(request, context)
            del request  # the handler lets go of it when it ends in an error
            answer = await answering
            if unary is not None:
                await context.write(answer)

        return handle
