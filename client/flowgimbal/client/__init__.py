"""The Python SDK of the stabilization service: frames in, steady frames out."""

from flowgimbal.client.client import DEFAULT_ADDRESS, Client, ServerInfo
from flowgimbal.client.errors import (
    CorruptFrame,
    FlowgimbalError,
    FrameTooLarge,
    InvalidRequest,
    MediaError,
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
from flowgimbal.client.settings import CropPolicy, Encoding, Mode, StreamSettings
from flowgimbal.client.stream import Stream, StreamInfo
from flowgimbal.client.sync import SyncClient, SyncStream

__all__ = [
    "DEFAULT_ADDRESS",
    "Client",
    "CorruptFrame",
    "CropPolicy",
    "Encoding",
    "FlowgimbalError",
    "Frame",
    "FrameStats",
    "FrameTooLarge",
    "InvalidRequest",
    "MediaError",
    "Mode",
    "Overloaded",
    "ServerFault",
    "ServerInfo",
    "SteadyFrame",
    "Stream",
    "StreamClosed",
    "StreamInfo",
    "StreamSettings",
    "SyncClient",
    "SyncStream",
    "Timeout",
    "Unauthorized",
    "Unavailable",
    "Unsupported",
    "keep_freed_memory",
]
