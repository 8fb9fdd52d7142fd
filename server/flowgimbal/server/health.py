"""Whether this server takes streams, for those who ask and those who watch (``grpc.health.v1``).

Nobody needs a token for it, and no change of it waits for anybody: that of grpcio-health-checking tells one watcher
after the other before a change is over, so that one who did not read kept a server from draining.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from flowgimbal.server.errors import InvalidArgument, NotFound
from flowgimbal.server.limits import Places
from flowgimbal.server.outbox import send

Context = grpc.aio.ServicerContext[Any, Any]
Request = health_pb2.HealthCheckRequest
Response = health_pb2.HealthCheckResponse
NOT_SERVING, SERVING, UNKNOWN = Response.NOT_SERVING, Response.SERVING, Response.SERVICE_UNKNOWN

WATCHES = 256
"""At a time; those who ask once (``Check``) take no place."""
MAX_REQUEST_BYTES = 256
"""Of a watch, which keeps it: names are shorter."""


class Health(health_pb2_grpc.HealthServicer):
    """One status for all ``names``, ``NOT_SERVING`` at first. Belongs to the event loop."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)
        self._status: int = NOT_SERVING
        self._changed = asyncio.Event()
        self._places = Places(WATCHES, "watches", fixed=True)

    def tell(self, status: int) -> None:
        """From now on it is ``status``; whoever watches hears of it later."""
        self._status = status
        self._changed.set()
        self._changed = asyncio.Event()

    async def Check(self, request: Request, context: Context) -> Response:  # noqa: N802, ARG002
        """As in the protocol."""
        if request.service not in self._names:
            raise NotFound("NO_SUCH_SERVICE", "service: none of that name is served here", field="service")
        return Response(status=self._status)

    async def Watch(self, request: Request, context: Context) -> None:  # noqa: N802
        """As in the protocol."""
        if request.ByteSize() > MAX_REQUEST_BYTES:
            message = f"the request has more than {MAX_REQUEST_BYTES} bytes; name a service that is served here"
            raise InvalidArgument("REQUEST_TOO_LARGE", message, field="service")
        with self._places.take():
            told = None
            while True:
                changed, status = self._changed, self._status if request.service in self._names else UNKNOWN
                if status != told:
                    # For as long as it takes: gRPC keeps the call of who reads nothing, given up or not.
                    await send(context, Response(status=status))
                    told = status
                await changed.wait()
