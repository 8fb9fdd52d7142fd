"""From what gRPC throws to the SDK's exception tree."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from flowgimbal.client.errors import (
    CorruptFrame,
    FlowgimbalError,
    FrameTooLarge,
    InvalidRequest,
    NoSuchStream,
    Overloaded,
    ServerFault,
    StreamClosed,
    Timeout,
    Unauthorized,
    Unavailable,
    Unsupported,
)
from flowgimbal.client.verdict import WRITE_FAILED, Verdict

DOMAIN = "flowgimbal"

_Code = grpc.StatusCode
_LEAVES: dict[grpc.StatusCode, type[FlowgimbalError]] = {
    _Code.INVALID_ARGUMENT: InvalidRequest,
    _Code.FAILED_PRECONDITION: InvalidRequest,
    _Code.NOT_FOUND: NoSuchStream,
    _Code.OUT_OF_RANGE: FrameTooLarge,
    _Code.UNIMPLEMENTED: Unsupported,
    _Code.DATA_LOSS: CorruptFrame,
    _Code.RESOURCE_EXHAUSTED: Overloaded,
    _Code.UNAVAILABLE: Unavailable,
    # The server gave up a stream on purpose (drain grace over); a cancel of our own never comes this way.
    _Code.CANCELLED: Unavailable,
    _Code.DEADLINE_EXCEEDED: Timeout,
    _Code.UNAUTHENTICATED: Unauthorized,
    _Code.PERMISSION_DENIED: Unauthorized,
}


def translate(error: grpc.aio.AioRpcError, address: str) -> FlowgimbalError:
    """The leaf that says what ``error``, from the server at ``address``, means."""
    code = error.code()
    details = error.details() or ""
    info, retry_after = _decode(error)
    leaf = _LEAVES.get(code, ServerFault)
    if leaf is Overloaded and info is None and "larger than max" in details:
        leaf = FrameTooLarge  # gRPC's own message limit, of either side: it carries no ErrorInfo
    message = details or f"the server ended the call with {code.name}"
    if code is _Code.UNAVAILABLE and info is None:
        leaf, message = _unreachable(address, details)
    translated = leaf(
        message,
        reason=info.reason if info else "",
        metadata=dict(info.metadata) if info else None,
        status=code.name,
    )
    if isinstance(translated, Overloaded):
        translated.retry_after = retry_after
    return translated


def _unreachable(address: str, details: str) -> tuple[type[FlowgimbalError], str]:
    """What a connection that does not come about means, as far as gRPC's words tell."""
    if "CERTIFICATE_VERIFY_FAILED" in details:
        return Unauthorized, f"the certificate of {address} comes from nobody who is trusted here: name its CA (tls_ca)"
    if "Hostname Verification" in details:
        return Unauthorized, f"the certificate of {address} is for another name: connect by that, or give it (tls_name)"
    if "WRONG_VERSION_NUMBER" in details:
        return Unavailable, f"{address} speaks no TLS"
    if "failed to connect" in details and "Socket closed" in details:
        hint = "it hangs up at once; does it want TLS (tls_ca), or a client's certificate (tls_certificate)?"
        return Unavailable, f"no service at {address}: {hint}"
    return Unavailable, f"no server at {address}, or it went away: {details}"


def _decode(error: grpc.aio.AioRpcError) -> tuple[error_details_pb2.ErrorInfo | None, float | None]:
    try:
        status = rpc_status.from_call(_Trailing(error))
    except ValueError:  # a proxy's trailers that contradict the status line: the line counts
        return None, None
    found: error_details_pb2.ErrorInfo | None = None
    retry_after: float | None = None
    for detail in status.details if status else ():
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        if detail.Unpack(info) and info.domain == DOMAIN:
            found = info
        elif detail.Unpack(retry):
            retry_after = retry.retry_delay.seconds + retry.retry_delay.nanos * 1e-9
    return found, retry_after


class _Trailing(grpc.Call):
    """An AioRpcError as the synchronous call that ``rpc_status`` was written for."""

    def __init__(self, error: grpc.aio.AioRpcError) -> None:
        self._error = error

    def code(self) -> grpc.StatusCode:
        return self._error.code()

    def details(self) -> str:
        return self._error.details() or ""

    def trailing_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        return tuple(self._error.trailing_metadata() or ())

    def initial_metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        return tuple(self._error.initial_metadata() or ())

    def is_active(self) -> bool:
        return False

    def time_remaining(self) -> float:
        return 0.0

    def cancel(self) -> bool:
        return False

    def add_callback(self, _: object) -> bool:
        return False


@asynccontextmanager
async def translated(address: str, verdict: Verdict | None = None) -> AsyncIterator[None]:
    """Run a gRPC operation; what it throws comes out as one of ours, but a cancel of the caller's task stays one.

    ``verdict`` is asked where gRPC itself does not say how the call ended: a write after the end is an
    InvalidStateError, one under way at the end an INTERNAL of gRPC's own, a read after a local cancel a CancelledError.
    """
    try:
        yield
    except grpc.aio.AioRpcError as error:
        ending = await verdict.error() if verdict is not None and error.details() == WRITE_FAILED else None
        raise translate(ending or error, address) from error
    except asyncio.InvalidStateError as error:
        ending = await verdict.error() if verdict is not None else None
        if ending is None or ending.code() is _Code.OK:
            raise StreamClosed("the stream has ended: nothing more can be sent") from error
        raise translate(ending, address) from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if verdict is None or not verdict.cancelled or (task is not None and task.cancelling()):
            raise
        raise StreamClosed("the stream was cancelled on this side") from error
