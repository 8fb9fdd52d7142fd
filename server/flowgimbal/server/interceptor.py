"""Turns what a handler raises into a gRPC status; without it an exception would reach the client as UNKNOWN."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from flowgimbal.server.errors import EngineFailure, StreamError, to_status
from flowgimbal.server.limits import LINGER_SECONDS

logger = logging.getLogger(__name__)


class StatusInterceptor(grpc.aio.ServerInterceptor):
    """Every error of a handler ends in a status with details, anything unforeseen in INTERNAL."""

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """The handler, wrapped."""
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        if handler.stream_stream is not None:
            return grpc.stream_stream_rpc_method_handler(
                _mapped(handler.stream_stream), handler.request_deserializer, handler.response_serializer
            )
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(
                _mapped(handler.unary_stream), handler.request_deserializer, handler.response_serializer
            )
        return grpc.unary_unary_rpc_method_handler(
            _mapped(handler.unary_unary), handler.request_deserializer, handler.response_serializer
        )


def _mapped(handle: Any) -> Any:
    async def mapped(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        try:
            return await handle(request, context)
        except StreamError as error:
            failure = error
            _forget(error)
        except grpc.aio.AbortError:
            raise
        except Exception as error:
            logger.exception("a handler failed")
            _forget(error)
            failure = EngineFailure("INTERNAL", "this is a fault of the server, whose log says more")
        del request  # as `_forget`: the call and the error that aborts it hold each other, and this frame
        return await abort(context, failure)

    return mapped


def _forget(error: Exception) -> None:
    """Let go of where ``error`` was raised.

    A task and the error that ended it hold each other, by way of tracebacks, and with them a stream's pictures and its
    decoder's process, until Python looks for cycles: a server with little to do seldom does.
    """
    error.__traceback__ = error.__context__ = error.__cause__ = None


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: StreamError) -> None:
    """End a call with the status of ``error``; returns when the client has it, or is gone."""
    status = to_status(error)
    late = asyncio.get_running_loop().call_later(
        LINGER_SECONDS, logger.warning, "the client takes no status (%s); its call keeps a place", error.message
    )
    try:
        await context.abort(status.code, status.details or "", status.trailing_metadata or ())
    except grpc.aio.InternalError:  # it is gone
        raise asyncio.CancelledError from None
    finally:
        late.cancel()
