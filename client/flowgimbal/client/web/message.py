"""What passes between page and browser: settings and sights as JSON, pictures behind them in the same message."""

from __future__ import annotations

import json
import struct
from typing import Any

from flowgimbal.client.observe import Sight
from flowgimbal.client.settings import StreamSettings
from flowgimbal.client.stream import StreamInfo

TUNABLE = ("smoothing_strength", "look_ahead_frames", "crop_policy", "max_crop_ratio", "pins")


def packed(sight: Sight) -> bytes:
    """Length of the head (uint32, big-endian), the head as JSON, the raw picture, the steady picture."""
    head = {
        "frame_id": sight.frame_id,
        "time_ms": sight.capture_time_ns / 1e6,
        "width": sight.width,
        "height": sight.height,
        "transform": sight.transform.ravel().tolist(),
        "motion": sight.motion,
        "latency_ms": sight.stats.total_ns / 1e6,
        "received": sight.stats.frames_received,
        "dropped": sight.stats.frames_dropped,
        "encoding": sight.encoding,
        "info": described(sight.info),
        "raw_bytes": len(sight.raw),
    }
    text = json.dumps(head, separators=(",", ":")).encode()
    return b"".join((struct.pack(">I", len(text)), text, sight.raw, sight.steady))


def described(info: StreamInfo) -> dict[str, Any]:
    """The settings in force, as far as the page shows them."""
    settings = {name: getattr(info.settings, name) for name in TUNABLE}
    return {
        "stream_id": info.stream_id,
        "engine": info.engine,
        "latency_frames": info.latency_frames,
        "mode": info.settings.mode,
        "settings": settings,
    }


def wishes(document: object) -> StreamSettings:
    """The settings that a browser asks for; ValueError for any other name or type."""
    if not isinstance(document, dict) or not set(document) <= set(TUNABLE):
        raise ValueError(f"settings: an object with {', '.join(TUNABLE)} is wanted")
    number: Any
    for name in ("smoothing_strength", "max_crop_ratio"):
        number = document.get(name)
        if number is not None and (isinstance(number, bool) or not isinstance(number, int | float)):
            raise ValueError(f"{name}: {number!r} is not a number")
    number = document.get("look_ahead_frames")
    if number is not None and (isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 1 << 31):
        raise ValueError(f"look_ahead_frames: {number!r} is not a whole number of frames")
    if not isinstance(document.get("pins", []), list):
        raise ValueError("pins: a list is wanted")
    return StreamSettings(**document)
