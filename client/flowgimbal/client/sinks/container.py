"""What each container can hold, and what is to be said to its writer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flowgimbal.client.errors import MediaError

CRF = 17
"""x264's quality: what it takes away is below what the eye, and a measurement of the motion, can tell."""

_MOV = {".mp4", ".mov", ".m4v", ".3gp", ".3g2"}
_ANY_ORDER = {"mp4", "mov", "ipod", "3gp", "3g2", "matroska"}
"""Containers that show the first picture at its time even if a later one is decoded before it."""

_TS = {"h264", "aac", "mp2", "mp3", "ac3", "eac3", "opus"}
"""MPEG-TS has no table that FFmpeg could be asked for."""


def options_of(path: Path, clock: int) -> dict[str, str]:
    """The muxer's options for times in ticks of 1/``clock`` s."""
    # MP4 keeps a late start in ticks of the movie's clock, by default a coarse millisecond.
    return {"movie_timescale": str(clock), "movflags": "+faststart"} if path.suffix.lower() in _MOV else {}


def codec_of(path: Path, container: Any) -> tuple[str, dict[str, str]]:
    """The video encoder for an open output, and its options. MediaError for a container that suits no video of ours."""
    name = container.format.name
    if container.format.no_file:
        raise MediaError(f"{path}: cannot be written: {name} is not one file (try .mp4 or .mkv)")
    if name == "avi":
        # H.264 in AVI comes back one frame late: AVI has no presentation times, and readers guess at a delay.
        return "mpeg4", {"qmin": "2", "qmax": "3"}
    if holds(container, "h264"):
        # Elsewhere B-frames would push all times back by the delay that they cause.
        in_order = {} if name in _ANY_ORDER else {"bf": "0"}
        return "libx264", {"crf": str(CRF), "preset": "veryfast"} | in_order
    if holds(container, "vp9"):
        return "libvpx-vp9", {"crf": "24", "b": "0", "deadline": "realtime", "cpu-used": "6", "row-mt": "1"}
    raise MediaError(f"{path}: cannot be written: {name} holds neither H.264 nor VP9 (try .mp4 or .mkv)")


def holds(container: Any, codec: str) -> bool:
    """Whether an open output takes ``codec``, by FFmpeg's canonical name."""
    return codec in (_TS if container.format.name == "mpegts" else container.supported_codecs)
