"""Any URL that FFmpeg reads as a live source. H.264, H.265 and MJPEG pass as they are, all else is decoded."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl

import av
from av.bitstream import BitStreamFilterContext

from flowgimbal.client.errors import MediaError
from flowgimbal.client.redact import shown
from flowgimbal.client.settings import Encoding
from flowgimbal.client.sources.format import format_of
from flowgimbal.client.sources.pace import paced
from flowgimbal.client.sources.slices import in_one_piece
from flowgimbal.client.sources.unit import Klv, Silent, Unit
from flowgimbal.client.sources.video import conformed, i420

OPEN_SECONDS = 10.0
SILENT_SECONDS = 10.0
"""A connection that says nothing for so long is dead."""
DATAGRAM_SILENT_SECONDS = 0.75
"""Datagrams come from whoever sends: after a silence it may be another sender, whose packets FFmpeg would take for old
ones and leave out. (FFmpeg asks twice: it takes twice as long before it gives up.)"""

MAX_KLV = 256
"""Packets of metadata that may come between two pictures; more are left out."""

RAW = "raw:"
_FILE_RATE = 25  # Hz, of a file that says nothing of it
_RAW_OPTIONS = {"size": "video_size", "rate": "framerate", "format": "pixel_format"}
_PASSED = {"h264": Encoding.H264, "hevc": Encoding.HEVC, "mjpeg": Encoding.JPEG}
# Annex B, with parameter sets before each key frame: a server that is started anew in mid-stream needs them there.
_FILTERS = {"h264": "h264_mp4toannexb,dump_extra=freq=k", "hevc": "hevc_mp4toannexb,dump_extra=freq=k"}
_DATAGRAMS = (None, DATAGRAM_SILENT_SECONDS)
_CONNECTED = ("rtsp", "rtsps", "tcp", "http", "https", "rtmp", "rtmps", "srt")
_RTP = {"rtp": "H264", "rtp+h264": "H264", "rtp+h265": "H265"}
_RTP_PAYLOAD = 96


@dataclass(frozen=True)
class Opening:
    """What FFmpeg is told to open. ``timeout`` is (to open, to read) [s], None: for ever."""

    target: Any
    format: str | None = None
    options: dict[str, str] = field(default_factory=dict)
    timeout: tuple[float | None, float] | None = None
    ends: bool = False


class UrlSource:
    """``url``: a file, ``rtsp://``, ``rtp://HOST:PORT`` (H.264; ``rtp+h265://``), ``udp://`` (MPEG-TS), ``-``: stdin,
    ``raw:TARGET?size=WIDTHxHEIGHT&rate=30&format=yuv420p``: bare pictures.

    A context manager, as ``LiveSource`` says. Raises MediaError.
    """

    def __init__(self, url: str, *, rtsp_transport: str = "tcp") -> None:
        self._url = url
        self._name = shown(url)
        self._transport = rtsp_transport
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._container: Any = None
        self._metadata: list[Any] = []
        self._klv: list[tuple[int | None, bytes]] = []
        self.ends = _scheme(url) in ("", "file")

    def __enter__(self) -> Self:
        opening = self._opening()
        try:
            self._container = av.open(
                opening.target, format=opening.format, options=opening.options, timeout=opening.timeout
            )
        except (av.FFmpegError, OSError, ValueError) as error:
            self._close()
            raise MediaError(f"{self._name}: cannot be opened: {_reason(error)}") from error
        if not any(stream.codec_context for stream in self._container.streams.video):
            self._close()
            raise MediaError(f"{self._name}: there is no video in it that can be read")
        self._metadata = [stream for stream in self._container.streams.data if stream.name == "klv"]
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def units(self) -> Iterator[Unit]:
        """See ``LiveSource``."""
        stream = self._container.streams.video[0]
        name = stream.codec_context.name
        found = self._passed(stream) if name in _PASSED else self._decoded(stream)
        if name in _FILTERS and not self.ends:  # a file's times are not to be relied on
            found = in_one_piece(found)
        piped = self._url == "-" or self._url.startswith(f"{RAW}-")
        if piped or not self.ends:
            return found
        return paced(_timed(found, int(1_000_000_000 / (stream.average_rate or _FILE_RATE))))

    def _passed(self, stream: Any) -> Iterator[Unit]:
        name = stream.codec_context.name
        annex_b = BitStreamFilterContext(_FILTERS[name], stream) if name in _FILTERS else None
        for packet in self._packets(stream):
            try:
                units = annex_b.filter(packet) if annex_b else [packet]
            except av.FFmpegError:
                continue  # damaged; the next one may be whole
            for unit in units:
                context, time_base = stream.codec_context, stream.time_base
                seen, due = _nanoseconds(unit.pts, time_base), _nanoseconds(unit.dts, time_base)
                size = context.width, context.height
                yield Unit(bytes(unit), _PASSED[name], *size, seen, unit.is_keyframe, due, self._take_klv(seen))

    def _decoded(self, stream: Any) -> Iterator[Unit]:
        form = None
        for packet in self._packets(stream):
            try:
                pictures = packet.decode()
            except av.FFmpegError:
                continue  # the next one may be whole
            for picture in pictures:
                form = form or format_of(stream, picture)
                data, seen = i420(conformed(picture, form)), _nanoseconds(picture.pts, stream.time_base)
                yield Unit(data, Encoding.I420, form.width, form.height, seen, klv=self._take_klv(seen))

    def _packets(self, stream: Any) -> Iterator[Any]:
        try:
            for packet in self._container.demux(stream, *self._metadata):
                if packet.size and packet.stream is stream:
                    yield packet
                elif packet.size and len(self._klv) < MAX_KLV:
                    self._klv.append((_nanoseconds(packet.pts, packet.time_base), bytes(packet)))
        except av.ExitError as error:
            if self._silence_is_news:
                raise MediaError(f"{self._name}: lost: it said nothing for {SILENT_SECONDS:g} s") from error
            raise Silent(f"{self._name}: it said nothing") from error
        except av.FFmpegError as error:
            raise MediaError(f"{self._name}: lost: {_reason(error)}") from error

    def _take_klv(self, time_ns: int | None) -> tuple[Klv, ...] | None:
        """The metadata since the last call, for a unit of that time; None: there is no stream of it."""
        if not self._metadata:
            return None
        found, self._klv = self._klv, []
        return tuple(Klv(0 if None in (at, time_ns) else at - time_ns, data) for at, data in found)  # type: ignore[operator]

    @property
    def _silence_is_news(self) -> bool:
        return _scheme(self._url) in _CONNECTED

    def _opening(self) -> Opening:
        scheme = _scheme(self._url)
        if self._url == "-":
            return Opening(sys.stdin.buffer)
        if self._url.startswith(RAW):
            return self._raw()
        if scheme in _RTP:
            return Opening(str(self._sdp(scheme)), "sdp", {"protocol_whitelist": "file,udp,rtp"}, _DATAGRAMS)
        if scheme in ("rtsp", "rtsps"):
            options = {"rtsp_transport": self._transport, "analyzeduration": "1000000"}
            return Opening(self._url, None, options, (OPEN_SECONDS, SILENT_SECONDS))
        if scheme == "udp":
            # Probing ends with the first parameter sets; a longer look would only add to the delay.
            url = _with(self._url, "fifo_size=50000&overrun_nonfatal=1")
            return Opening(url, None, {"analyzeduration": "1000000"}, _DATAGRAMS)
        return Opening(self._url, timeout=(OPEN_SECONDS, SILENT_SECONDS) if scheme in _CONNECTED else None)

    def _raw(self) -> Opening:
        """Bare pictures say nothing of themselves: the query does."""
        target, _, query = self._url.removeprefix(RAW).partition("?")
        said = dict(parse_qsl(query))
        if "size" not in said or not said.keys() <= _RAW_OPTIONS.keys():
            raise MediaError(
                f"{self._name}: cannot be opened: write {RAW}TARGET?size=WIDTHxHEIGHT&rate=30&format=yuv420p"
            )
        options = {_RAW_OPTIONS[name]: value for name, value in said.items()}
        return Opening(sys.stdin.buffer if target == "-" else target, "rawvideo", options)

    def _sdp(self, scheme: str) -> Path:
        """RTP says nothing of itself: FFmpeg is told by a session description what comes to the port."""
        host, colon, port = self._url.partition("://")[2].partition("?")[0].strip("/").rpartition(":")
        if not colon or not port.isdigit():
            raise MediaError(f"{self._name}: cannot be opened: write {scheme}://HOST:PORT")
        self._scratch = tempfile.TemporaryDirectory(prefix="flowgimbal-")
        path = Path(self._scratch.name) / "session.sdp"
        path.write_text(session_description(host or "0.0.0.0", int(port), _RTP[scheme]))
        return path

    def _close(self) -> None:
        container, self._container = self._container, None
        if container is not None:
            container.close()
        if self._scratch is not None:
            self._scratch.cleanup()


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


def _timed(units: Iterable[Unit], step_ns: int) -> Iterator[Unit]:
    """Units of a file that knows no times (a bare ``.h264``) at an even pace."""
    for number, unit in enumerate(units):
        timeless = unit.time_ns is None and unit.decode_ns is None
        yield replace(unit, time_ns=number * step_ns) if timeless else unit


def _scheme(url: str) -> str:
    return url.partition("://")[0].lower() if "://" in url else ""


def _with(url: str, query: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{query}"


def _nanoseconds(ticks: int | None, time_base: Any) -> int | None:
    return None if ticks is None else int(ticks * time_base * 1_000_000_000)


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)
