"""Tells what is served here (``grpc.reflection.v1alpha``), to a few at a time, who ask in small requests and soon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc.aio
from grpc_reflection.v1alpha import reflection, reflection_pb2, reflection_pb2_grpc

from flowgimbal.server.errors import InvalidArgument, TimedOut
from flowgimbal.server.inbox import receive
from flowgimbal.server.limits import Places
from flowgimbal.server.outbox import send

REFLECTIONS = 4
"""Calls at a time: until it is read, a request of each may be as large as any message."""
ASK_SECONDS = 5.0
"""For the next request to come in whole."""
MAX_REQUEST_BYTES = 1024
"""Of a request, which is sent back with its answer; names are shorter."""

Context = grpc.aio.ServicerContext[Any, Any]
Request = reflection_pb2.ServerReflectionRequest


class Reflection(reflection_pb2_grpc.ServerReflectionServicer):
    """Tells of the services of these ``names``, and of itself. Belongs to the event loop."""

    def __init__(self, names: Iterable[str]) -> None:
        self._inner: Any = reflection.aio.ReflectionServicer((*names, reflection.SERVICE_NAME))
        self._places = Places(REFLECTIONS, "reflections", fixed=True)

    async def ServerReflectionInfo(self, _: object, context: Context) -> None:  # noqa: N802
        """As in the protocol."""
        with self._places.take():
            async for answer in self._inner.ServerReflectionInfo(_requests(context), context):
                await send(context, answer)


async def _requests(context: Context) -> AsyncIterator[Request]:
    while True:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                request = await receive(context)
        except TimeoutError:
            message = f"no request came in whole within {ASK_SECONDS:g} s; call again to ask more"
            raise TimedOut("REQUEST_TOO_SLOW", message) from None
        if not isinstance(request, Request):
            return
        if request.ByteSize() > MAX_REQUEST_BYTES:
            message = f"the request has more than {MAX_REQUEST_BYTES} bytes; ask for one thing by its name"
            raise InvalidArgument("REQUEST_TOO_LARGE", message)
        yield request
