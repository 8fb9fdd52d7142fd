"""Responses on their way to a client that may be gone."""

from __future__ import annotations

import contextlib
from typing import Any

import grpc.aio

from flowgimbal.server.errors import ClientGone


async def send(context: grpc.aio.ServicerContext[Any, Any], response: Any) -> None:
    """Write one response; waits while flow control says so. Raises ClientGone where gRPC says that a write failed."""
    try:
        # Apart from the first message: a client may take none, and gRPC could not tell it later why its call ended.
        with contextlib.suppress(grpc.aio.UsageError):  # sent before
            await context.send_initial_metadata(())
        await context.write(response)
    except grpc.aio.InternalError as error:
        raise ClientGone("CLIENT_GONE", "the client went away while it was written to") from error
