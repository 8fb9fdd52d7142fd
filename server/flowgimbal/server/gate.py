"""Turns calls away that show no token, before a byte of their messages is read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from flowgimbal.server.access import Access, holder
from flowgimbal.server.errors import Unauthenticated
from flowgimbal.server.interceptor import abort
from flowgimbal.server.metrics import Metrics

OPEN = "/grpc.health.v1.Health/"
"""Probes and load balancers have no token."""


class Gate(grpc.aio.ServerInterceptor):
    """Lets the holders of tokens in; a call goes on in its holder's name."""

    def __init__(self, access: Access, metrics: Metrics) -> None:
        self._access = access
        self._metrics = metrics

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The handler, or one that refuses."""
        if not str(handler_call_details.method).startswith(OPEN):
            try:
                holder.set(self._access.admit(handler_call_details.invocation_metadata))
            except Unauthenticated as error:
                self._metrics.refused.labels(error.reason).inc()
                return _refusing(error)
        return await continuation(handler_call_details)


def _refusing(error: Unauthenticated) -> grpc.RpcMethodHandler[Any, Any]:
    async def refuse(_: Any, context: grpc.aio.ServicerContext[Any, Any]) -> None:
        await abort(context, error)

    return grpc.stream_stream_rpc_method_handler(refuse)  # of any kind: nothing is read
