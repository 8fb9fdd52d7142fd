"""Access units into whatever FFmpeg writes: a file, MPEG-TS over UDP or SRT, RTP, RTSP. Nothing is encoded here."""

from __future__ import annotations

import io
import time
from fractions import Fraction
from typing import Any

import av

from flowgimbal.client.errors import MediaError
from flowgimbal.client.redact import shown
from flowgimbal.client.settings import Encoding
from flowgimbal.client.sinks import srt
from flowgimbal.client.sinks.output import PIPE, Output
from flowgimbal.client.sinks.reach import ANSWER_SECONDS, reach
from flowgimbal.client.sinks.shot import Shot

CLOCK = Fraction(1, 90_000)
_FORMATS = {"udp": "mpegts", "rtp": "rtp", "rtsp": "rtsp", "srt": "mpegts", "tcp": "mpegts", "rtmp": "flv"}
_RAW = {Encoding.H264: "h264", Encoding.HEVC: "hevc", Encoding.JPEG: "mjpeg"}
SLOW_SECONDS = 1.0
_ANSWERING = ("rtsp", "rtmp")
_MICROSECONDS = str(round(ANSWER_SECONDS * 1e6))
_TS_PACKETS = 1316  # seven of 188 bytes: what fits into a datagram


class MuxSink:
    """Writes to ``url``; the form follows from its scheme, or from a file's suffix. Opened by the first key frame.

    A file of a container that needs its end written (.mp4) is complete after ``close``; .mkv and .ts always are.
    """

    def __init__(self, url: str) -> None:
        self.name = shown(url)
        self._url = url
        self._scheme = url.partition("://")[0].lower() if "://" in url else ""
        if self._scheme == "srt":
            srt.check(url)
        self._out = Output(self.name, url)
        self._stream: Any = None
        self._made_for: object = None
        self._last = -(1 << 62)  # times before a source's zero are negative
        self._slow = False  # the last attempt to open it took long, and held up every thread: look first
        self._zero_ns = 0
        self._klv: Any = None
        self._last_klv = -(1 << 62)

    def write(self, shot: Shot) -> None:
        """See ``Sink``; units before the first key frame are left out."""
        made_for = (shot.encoding, shot.width, shot.height)
        try:
            if self._out.container is not None and made_for != self._made_for and shot.key:
                self.close()  # another size: most containers take one alone
            if self._out.container is None:
                if not shot.key:
                    return
                began = time.monotonic()
                try:
                    self._open(shot)
                except (av.FFmpegError, OSError, ValueError):
                    self._slow = self._slow or time.monotonic() - began > SLOW_SECONDS
                    raise
                self._slow = False
                self._made_for = made_for
            packet = av.Packet(shot.data)
            packet.stream, packet.time_base = self._stream, CLOCK
            decode_ns = shot.time_ns if shot.decode_ns is None else shot.decode_ns
            self._last = max(_ticks(decode_ns - self._zero_ns), self._last + 1)
            packet.dts = self._last
            packet.pts = max(_ticks(shot.time_ns - self._zero_ns), self._last)
            packet.is_keyframe = shot.key
            self._out.container.mux(packet)
            self._out.written += 1
            if self._klv is not None and shot.klv:
                self._write_klv(shot)
        except (av.FFmpegError, OSError, ValueError) as error:
            self._out.drop()
            reason = getattr(error, "strerror", None) or str(error)
            raise MediaError(f"{self.name}: cannot be written: {reason}") from error

    def close(self) -> None:
        """See ``Sink``."""
        self._out.close()

    def _open(self, shot: Shot) -> None:
        if shot.encoding not in _RAW:
            raise ValueError(f"it takes compressed pictures, not {shot.encoding}")
        kind = _FORMATS.get(self._scheme)
        # A stream keeps its source's times; a recording that began with them would seem to last for the camera's days.
        self._zero_ns = 0 if self._scheme or self._url == PIPE else shot.start_ns
        if self._slow or self._scheme not in _ANSWERING:  # there it is the name alone that is looked up
            reach(self._url)
        target = self._out.target()
        options = {"flush_packets": "1"}
        if self._scheme == "udp" and "pkt_size" not in self._url:
            target = f"{target}{'&' if '?' in target else '?'}pkt_size={_TS_PACKETS}"
        if self._scheme == "rtsp":
            options |= {"rtsp_transport": "tcp", "timeout": _MICROSECONDS}
        if self._scheme == "rtmp":
            options["rw_timeout"] = _MICROSECONDS
        if self._url == PIPE:
            kind = "mpegts"
        with av.open(io.BytesIO(shot.data), format=_RAW[shot.encoding]) as probe:
            self._out.container = av.open(target, "w", format=kind, options=options)
            self._stream = self._out.container.add_stream_from_template(probe.streams.video[0])
        self._stream.time_base = CLOCK
        # Of the containers that FFmpeg writes, the transport stream alone takes it.
        transport = self._out.container.format.name == "mpegts"
        self._klv = self._out.container.add_data_stream("klv") if transport and shot.klv is not None else None
        self._out.container.start_encoding()

    def _write_klv(self, shot: Shot) -> None:
        for klv in shot.klv or ():
            packet = av.Packet(klv.data)
            packet.stream, packet.time_base = self._klv, CLOCK
            self._last_klv = max(self._last_klv, _ticks(shot.time_ns + klv.offset_ns - self._zero_ns))
            packet.pts = packet.dts = self._last_klv
            self._out.container.mux(packet)


def _ticks(nanoseconds: int) -> int:
    return round(nanoseconds * CLOCK.denominator / 1_000_000_000)
