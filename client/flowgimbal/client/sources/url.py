"""Any URL that FFmpeg reads as a live source. H.264, H.265 and MJPEG pass as they are, all else is decoded."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Self

import av
from av.bitstream import BitStreamFilterContext

from flowgimbal.client.errors import MediaError
from flowgimbal.client.protocols import unspoken
from flowgimbal.client.redact import shown
from flowgimbal.client.settings import Encoding
from flowgimbal.client.sources.format import format_of
from flowgimbal.client.sources.opening import CONNECTED, RAW, SILENT_SECONDS, opening_of, scheme_of
from flowgimbal.client.sources.pace import paced
from flowgimbal.client.sources.slices import in_one_piece
from flowgimbal.client.sources.unit import Klv, Silent, Unit
from flowgimbal.client.sources.video import conformed, i420

MAX_KLV = 256
"""Packets of metadata that may come between two pictures; more are left out."""

_FILE_RATE = 25  # Hz, of a file that says nothing of it
_PASSED = {"h264": Encoding.H264, "hevc": Encoding.HEVC, "mjpeg": Encoding.JPEG}
# Annex B, with parameter sets before each key frame: a server that is started anew in mid-stream needs them there.
_FILTERS = {"h264": "h264_mp4toannexb,dump_extra=freq=k", "hevc": "hevc_mp4toannexb,dump_extra=freq=k"}


class UrlSource:
    """``url``: a file, ``rtsp://``, ``rtp://HOST:PORT`` (H.264; ``rtp+h265://``), ``udp://`` or ``srt://`` (MPEG-TS),
    ``-``: stdin, ``raw:TARGET?size=WIDTHxHEIGHT&rate=30&format=yuv420p``: bare pictures.

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
        self.ends = scheme_of(url) in ("", "file")

    def __enter__(self) -> Self:
        opening = opening_of(self._url, self._transport)
        self._scratch = opening.scratch
        try:
            self._container = av.open(
                opening.target, format=opening.format, options=opening.options, timeout=opening.timeout
            )
        except av.ProtocolNotFoundError as error:
            raise unspoken(self._name, scheme_of(self._url)) from error
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
        return scheme_of(self._url) in CONNECTED

    def _close(self) -> None:
        container, self._container = self._container, None
        if container is not None:
            container.close()
        if self._scratch is not None:
            self._scratch.cleanup()


def _timed(units: Iterable[Unit], step_ns: int) -> Iterator[Unit]:
    """Units of a file that knows no times (a bare ``.h264``) at an even pace."""
    for number, unit in enumerate(units):
        timeless = unit.time_ns is None and unit.decode_ns is None
        yield replace(unit, time_ns=number * step_ns) if timeless else unit


def _nanoseconds(ticks: int | None, time_base: Any) -> int | None:
    return None if ticks is None else int(ticks * time_base * 1_000_000_000)


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)
