"""What FFmpeg is told to open for the URL of a live source."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from flowgimbal.client.errors import MediaError
from flowgimbal.client.redact import shown

OPEN_SECONDS = 10.0
SILENT_SECONDS = 10.0
"""A connection that says nothing for so long is dead."""
DATAGRAM_SILENT_SECONDS = 0.75
"""Datagrams come from whoever sends: after a silence it may be another sender, whose packets FFmpeg would take for old
ones and leave out. (FFmpeg asks twice: it takes twice as long before it gives up.)"""

RAW = "raw:"
CONNECTED = ("rtsp", "rtsps", "tcp", "http", "https", "rtmp", "rtmps", "srt")
_RAW_OPTIONS = {"size": "video_size", "rate": "framerate", "format": "pixel_format"}
_DATAGRAMS = (None, DATAGRAM_SILENT_SECONDS)
_RTP = {"rtp": "H264", "rtp+h264": "H264", "rtp+h265": "H265"}
_RTP_PAYLOAD = 96
_LOOK = {"analyzeduration": "1000000"}
"""Probing ends with the first parameter sets; a longer look would only add to the delay."""


@dataclass(frozen=True)
class Opening:
    """``timeout`` is (to open, to read) [s], None: for ever. ``scratch`` is to be cleaned up when all is read."""

    target: Any
    format: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    timeout: tuple[float | None, float] | None = None
    scratch: tempfile.TemporaryDirectory[str] | None = None


def opening_of(url: str, rtsp_transport: str) -> Opening:
    """See ``UrlSource`` for what ``url`` may be. Raises MediaError for one that is written wrong."""
    scheme = scheme_of(url)
    if url == "-":
        return Opening(sys.stdin.buffer)
    if url.startswith(RAW):
        return _raw(url)
    if scheme in _RTP:
        return _rtp(url, scheme)
    if scheme in ("rtsp", "rtsps"):
        return Opening(url, None, {"rtsp_transport": rtsp_transport} | _LOOK, (OPEN_SECONDS, SILENT_SECONDS))
    if scheme == "udp":
        queue = "fifo_size=50000&overrun_nonfatal=1"
        return Opening(f"{url}{'&' if '?' in url else '?'}{queue}", None, dict(_LOOK), _DATAGRAMS)
    if scheme == "srt":
        is_called = dict(parse_qsl(urlsplit(url).query)).get("mode") == "listener"
        return Opening(url, None, dict(_LOOK), (None if is_called else OPEN_SECONDS, SILENT_SECONDS))
    return Opening(url, timeout=(OPEN_SECONDS, SILENT_SECONDS) if scheme in CONNECTED else None)


def target_of(url: str) -> str:
    """What a source reads: ``url`` without what says how."""
    return (url.removeprefix(RAW).partition("?")[0] if url.startswith(RAW) else url).removeprefix("file:")


def scheme_of(url: str) -> str:
    """What stands before ``://``, in small letters; empty for what is no URL."""
    return url.partition("://")[0].lower() if "://" in url else ""


def _raw(url: str) -> Opening:
    """Bare pictures say nothing of themselves: the query does."""
    target, _, query = url.removeprefix(RAW).partition("?")
    said = dict(parse_qsl(query))
    if "size" not in said or not said.keys() <= _RAW_OPTIONS.keys():
        raise MediaError(f"{shown(url)}: cannot be opened: write {RAW}TARGET?size=WIDTHxHEIGHT&rate=30&format=yuv420p")
    options = {_RAW_OPTIONS[name]: value for name, value in said.items()}
    return Opening(sys.stdin.buffer if target == "-" else target, "rawvideo", options)


def _rtp(url: str, scheme: str) -> Opening:
    """RTP says nothing of itself: FFmpeg is told by a session description what comes to the port."""
    host, colon, port = url.partition("://")[2].partition("?")[0].strip("/").rpartition(":")
    if not colon or not port.isdigit():
        raise MediaError(f"{shown(url)}: cannot be opened: write {scheme}://HOST:PORT")
    scratch = tempfile.TemporaryDirectory(prefix="flowgimbal-")
    path = Path(scratch.name) / "session.sdp"
    path.write_text(session_description(host or "0.0.0.0", int(port), _RTP[scheme]))
    return Opening(str(path), "sdp", {"protocol_whitelist": "file,udp,rtp"}, _DATAGRAMS, scratch)


def session_description(host: str, port: int, codec: str) -> str:
    """The SDP (RFC 8866) of one video stream over RTP; ``codec`` is H264 or H265."""
    version = "IP6" if ":" in host else "IP4"
    lines = (
        "v=0",
        f"o=- 0 0 IN {version} {host}",
        "s=flowgimbal",
        f"c=IN {version} {host}",
        "t=0 0",
        f"m=video {port} RTP/AVP {_RTP_PAYLOAD}",
        f"a=rtpmap:{_RTP_PAYLOAD} {codec}/90000",
    )
    return "\r\n".join(lines) + "\r\n"
