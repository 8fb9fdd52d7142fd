"""The one exception tree of the SDK. Every leaf is also the builtin that a caller would reach for."""

from __future__ import annotations

from collections.abc import Mapping


class FlowgimbalError(Exception):
    """Something went wrong between this client and the server, or between this client and a file.

    ``reason`` is the server's constant for programs (``google.rpc.ErrorInfo``, domain ``flowgimbal``), empty where
    the failure did not come from the service itself; ``metadata`` its details; ``status`` the gRPC status name.
    """

    def __init__(
        self, message: str, *, reason: str = "", metadata: Mapping[str, str] | None = None, status: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.status = status

    def __str__(self) -> str:
        return self.message


class InvalidRequest(FlowgimbalError, ValueError):  # noqa: N818 - read at the except clause, "Error" says nothing more
    """The server refused a setting or a frame; the message names the field."""


class NoSuchStream(FlowgimbalError, LookupError):  # noqa: N818
    """No stream of that id runs on the server: it ended, or runs on another one."""


class FrameTooLarge(InvalidRequest):
    """The picture is above the server's limit, or its message above the limit of either side."""


class Unsupported(FlowgimbalError, NotImplementedError):  # noqa: N818
    """An encoding or a policy that this server lacks, or a server that lacks the service."""


class CorruptFrame(FlowgimbalError, ValueError):  # noqa: N818
    """A frame of a lossless stream could not be decoded, by the server or here."""


class Unavailable(FlowgimbalError, ConnectionError):  # noqa: N818
    """Nobody answers, or the server starts, drains, or vanished. Safe to retry."""


class Overloaded(FlowgimbalError):  # noqa: N818
    """All streams of the server are taken. ``retry_after`` is the server's advice [s], None if it gave none."""

    retry_after: float | None = None


class Timeout(FlowgimbalError, TimeoutError):  # noqa: N818
    """The call's time was up, or the stream was idle for longer than the server waits."""


class Unauthorized(FlowgimbalError, PermissionError):  # noqa: N818
    """The server wants a token or a certificate that this client did not show."""


class ServerFault(FlowgimbalError):  # noqa: N818
    """The server failed: a fault of its own, not of the request."""


class StreamClosed(FlowgimbalError):  # noqa: N818
    """The stream was already closed on this side: nothing more can be sent or received."""


class MediaError(FlowgimbalError, OSError):
    """A video file could not be read or written; the message is one line that begins with its name."""
