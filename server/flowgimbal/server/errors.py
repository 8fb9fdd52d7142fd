"""One exception tree: what can end a stream, and the gRPC status that says so.

Every leaf carries its status code; every instance a reason for programs (``google.rpc.ErrorInfo``, domain
``flowgimbal``), a message for people that says what is wrong and what to do, and metadata.
"""

from __future__ import annotations

from collections.abc import Mapping

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

DOMAIN = "flowgimbal"
MAX_TEXT_BYTES = 1000
"""Of a message, and of each value of its metadata: gRPC takes 8 KiB of a status, escapes and all."""


class StartupError(Exception):
    """The server could not start: address taken, engine missing. The message says which and what to do."""


class StreamError(Exception):
    """Ends a stream (or refuses a call) with a gRPC status."""

    code: grpc.StatusCode = grpc.StatusCode.INTERNAL

    def __init__(self, reason: str, message: str, *, retry_after_seconds: float | None = None, **metadata: object):
        self.reason = reason
        self.message = _cut(message)
        super().__init__(self.message)
        self.retry_after_seconds = retry_after_seconds
        self.metadata: Mapping[str, str] = {key: _cut(str(value)) for key, value in metadata.items()}


class InvalidArgument(StreamError):  # noqa: N818 - named for the status
    """The client broke the protocol or sent a value out of range."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class NotFound(StreamError):  # noqa: N818
    """No stream of that id runs here, or no service of that name."""

    code = grpc.StatusCode.NOT_FOUND


class Unauthenticated(StreamError):  # noqa: N818
    """No token came, or none that this server knows."""

    code = grpc.StatusCode.UNAUTHENTICATED


class PermissionDenied(StreamError):  # noqa: N818
    """The token is known, and not for this."""

    code = grpc.StatusCode.PERMISSION_DENIED


class FrameTooLarge(StreamError):  # noqa: N818
    """The picture is larger than this server takes."""

    code = grpc.StatusCode.OUT_OF_RANGE


class Unsupported(StreamError):  # noqa: N818
    """An encoding or a policy that this build lacks."""

    code = grpc.StatusCode.UNIMPLEMENTED


class Undecodable(StreamError):  # noqa: N818
    """The frame's data is not a whole picture. MODE_LIVE drops the frame, MODE_LOSSLESS ends the stream."""

    code = grpc.StatusCode.DATA_LOSS


class TooMany(StreamError):  # noqa: N818
    """All places, for streams or for observers, are taken: try again later."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class Unavailable(StreamError):  # noqa: N818
    """Starting or draining: safe to retry, here or elsewhere."""

    code = grpc.StatusCode.UNAVAILABLE


class TimedOut(StreamError):  # noqa: N818
    """The client neither sent nor took a frame for the idle timeout."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED


class ClientGone(StreamError):  # noqa: N818
    """Nobody is there to be answered."""

    code = grpc.StatusCode.CANCELLED


class EngineFailure(StreamError):  # noqa: N818
    """The engine, or this server, failed on a frame."""

    code = grpc.StatusCode.INTERNAL


def to_status(error: StreamError) -> grpc.Status:
    """The gRPC status of ``error``, its ``google.rpc.Status`` in the trailing metadata."""
    details = [_packed(error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=dict(error.metadata)))]
    if error.retry_after_seconds is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(int(error.retry_after_seconds * 1e9))
        details.append(_packed(error_details_pb2.RetryInfo(retry_delay=delay)))
    code = code_pb2.Code.Value(error.code.name)
    return rpc_status.to_status(status_pb2.Status(code=code, message=error.message, details=details))


def _cut(text: str) -> str:
    head = text[:MAX_TEXT_BYTES].encode(errors="replace")[:MAX_TEXT_BYTES].decode(errors="ignore")
    return head if len(head) == len(text) else f"{head}..."


def _packed(message: error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
