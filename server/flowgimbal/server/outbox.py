"""Responses on their way to a client that may be gone."""

from __future__ import annotations

from typing import Any

import grpc.aio

from flowgimbal.server.errors import ClientGone


async def send(context: grpc.aio.ServicerContext[Any, Any], response: Any) -> None:
    """Write one response; waits while flow control says so. Raises ClientGone where gRPC says that a write failed."""
    try:
        await context.write(response)
    except grpc.aio.InternalError as error:
        raise ClientGone("CLIENT_GONE", "the client went away while it was written to") from error
