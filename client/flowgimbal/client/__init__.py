"""The Python SDK of the stabilization service: frames in, steady frames out.

The names are imported when they are first used: `flowgimbal --help` need not wait for gRPC and OpenCV.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flowgimbal.client.client import Client, ServerInfo
    from flowgimbal.client.endpoint import DEFAULT_ADDRESS, Endpoint, Tls, token_file
    from flowgimbal.client.errors import (
        CorruptFrame,
        FlowgimbalError,
        FrameTooLarge,
        InvalidRequest,
        MediaError,
        NoSuchStream,
        Overloaded,
        ServerFault,
        StreamClosed,
        Timeout,
        Unauthorized,
        Unavailable,
        Unsupported,
    )
    from flowgimbal.client.frame import Frame, FrameStats, SteadyFrame
    from flowgimbal.client.memory import keep_freed_memory
    from flowgimbal.client.observe import Sight
    from flowgimbal.client.settings import CropPolicy, Encoding, Mode, Pin, StreamSettings
    from flowgimbal.client.stream import Stream, StreamInfo
    from flowgimbal.client.sync import SyncClient, SyncStream

__all__ = [
    "DEFAULT_ADDRESS",
    "Client",
    "CorruptFrame",
    "CropPolicy",
    "Encoding",
    "Endpoint",
    "FlowgimbalError",
    "Frame",
    "FrameStats",
    "FrameTooLarge",
    "InvalidRequest",
    "MediaError",
    "Mode",
    "NoSuchStream",
    "Overloaded",
    "Pin",
    "ServerFault",
    "ServerInfo",
    "Sight",
    "SteadyFrame",
    "Stream",
    "StreamClosed",
    "StreamInfo",
    "StreamSettings",
    "SyncClient",
    "SyncStream",
    "Timeout",
    "Tls",
    "Unauthorized",
    "Unavailable",
    "Unsupported",
    "keep_freed_memory",
    "token_file",
]

_HOMES = {
    "client": ("Client", "ServerInfo"),
    "endpoint": ("DEFAULT_ADDRESS", "Endpoint", "Tls", "token_file"),
    "errors": (
        "CorruptFrame",
        "FlowgimbalError",
        "FrameTooLarge",
        "InvalidRequest",
        "MediaError",
        "NoSuchStream",
        "Overloaded",
        "ServerFault",
        "StreamClosed",
        "Timeout",
        "Unauthorized",
        "Unavailable",
        "Unsupported",
    ),
    "frame": ("Frame", "FrameStats", "SteadyFrame"),
    "observe": ("Sight",),
    "memory": ("keep_freed_memory",),
    "settings": ("CropPolicy", "Encoding", "Mode", "Pin", "StreamSettings"),
    "stream": ("Stream", "StreamInfo"),
    "sync": ("SyncClient", "SyncStream"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
