"""Whose fault it is: whatever comes in, the server may only blame the client."""

from __future__ import annotations

from grpc import StatusCode

from flowgimbal.server.errors import StreamError

BLAMES_CLIENT = frozenset(
    {
        StatusCode.INVALID_ARGUMENT,
        StatusCode.OUT_OF_RANGE,
        StatusCode.UNIMPLEMENTED,
        StatusCode.DATA_LOSS,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.CANCELLED,
    }
)


class ServersFault(AssertionError):  # noqa: N818 - a verdict
    """The server did what it must not do."""


def judge(error: StreamError) -> None:
    """Raises ServersFault unless ``error`` blames the client, in words and with a reason for programs."""
    if error.code not in BLAMES_CLIENT or not error.reason or not error.message:
        raise ServersFault(f"{error.code.name} {error.reason}: {error.message}") from error


def demand(holds: bool, what: object) -> None:
    """Raises ServersFault that says ``what`` unless it ``holds``."""
    if not holds:
        raise ServersFault(str(what))
