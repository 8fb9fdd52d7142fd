"""Protocols that the FFmpeg inside PyAV may lack: its wheels have no SRT."""

from __future__ import annotations

import av

from flowgimbal.client.errors import MediaError


def speaks(scheme: str) -> bool:
    """Whether FFmpeg knows the protocol. PyAV has no list of them: an address without a host tells by its error."""
    try:
        av.open(f"{scheme}://").close()
    except av.ProtocolNotFoundError:
        return False
    except (av.FFmpegError, OSError):
        return True
    return True


def unspoken(name: str, scheme: str) -> MediaError:
    """What to say of an address, shown as ``name``, whose protocol is missing."""
    around = "; the ffmpeg program can carry it through a pipe, see docs/live.md" if scheme == "srt" else ""
    return MediaError(f"{name}: the FFmpeg inside PyAV does not speak {scheme or 'that'}{around}")
