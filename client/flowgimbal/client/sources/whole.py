"""Is all of the file there? A copy that stops half-way must not pass for a short clip."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

from flowgimbal.client.errors import MediaError
from flowgimbal.client.sources.format import VideoFormat

_MISSING_SHARE = Fraction(1, 10)
_MISSING_SECONDS = Fraction(1, 2)
"""What headers may be wrong by, and honestly are."""


def check_index(path: str, stream: Any) -> None:
    """Raise MediaError if the container's index (MP4, MOV) points beyond the end of the file."""
    entries = stream.index_entries
    file = Path(path)
    if not len(entries) or not file.is_file():
        return
    last = entries[len(entries) - 1]
    size = file.stat().st_size
    if last.pos + last.size > size:
        whole = sum(entry.pos + entry.size <= size for entry in entries)
        raise MediaError(f"{path}: truncated: only {whole} of its {len(entries)} frames are in the file")


def check_length(path: str, container: str, stream: Any, form: VideoFormat, count: int, last: Fraction) -> None:
    """Raise MediaError if the video stopped well before its header says (AVI, Matroska).

    ``count`` frames were decoded, the last at ``last`` [s].
    """
    promised: Fraction | None = None
    if container == "avi" and stream.frames:
        promised, played = stream.frames / form.rate, count / form.rate
    else:
        promised, played = _tagged_duration(stream.metadata.get("DURATION", "")), last + 1 / form.rate
    if promised is None:
        return
    missing = promised - played
    if missing > max(_MISSING_SECONDS, promised * _MISSING_SHARE):
        raise MediaError(f"{path}: truncated: it ends after {float(played):.1f} of {float(promised):.1f} seconds")


def _tagged_duration(text: str) -> Fraction | None:
    """Seconds of Matroska's ``HH:MM:SS.fraction``; None if it is not that."""
    try:
        hours, minutes, seconds = text.split(":")
        return Fraction(hours) * 3600 + Fraction(minutes) * 60 + Fraction(seconds)
    except ValueError:
        return None
