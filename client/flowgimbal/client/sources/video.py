"""A video file as a stream of I420 frames, one in memory at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, Self, cast

import av
import numpy as np
from numpy.typing import NDArray

from flowgimbal.client.errors import MediaError
from flowgimbal.client.frame import Frame
from flowgimbal.client.settings import Encoding
from flowgimbal.client.sources.format import VideoFormat, format_of
from flowgimbal.client.sources.timing import rising
from flowgimbal.client.sources.whole import check_index, check_length

_PLANAR = ("yuv420p", "yuvj420p")


class VideoSource:
    """Any file or URL that FFmpeg reads; a context manager, read once, by one thread.

    The picture is the stored one: a display matrix is reported by ``format`` and not applied. Raises MediaError for
    what cannot be opened, holds no video, is damaged, or ends before its header says.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self.metadata: dict[str, str] = {}
        self._container: Any = None
        # A file is closed while another thread may be decoding a picture of it: FFmpeg must not lose it in the middle.
        self._reading = threading.Lock()
        self._format: VideoFormat | None = None
        self._frames: Iterator[av.VideoFrame] = iter(())

    @property
    def format(self) -> VideoFormat:
        """What the video is; known once the source is entered."""
        if self._format is None:
            raise MediaError(f"{self.path}: not open")
        return self._format

    def __enter__(self) -> Self:
        try:
            self._container = av.open(self.path)
        except (av.FFmpegError, OSError, ValueError) as error:
            raise MediaError(f"{self.path}: cannot be opened as a video: {_reason(error)}") from error
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. A second call does nothing."""
        with self._reading:
            container, self._container = self._container, None
            if container is not None:
                container.close()

    def frames(self) -> Iterator[tuple[int, Frame]]:
        """The time [ticks of ``format.time_base`` since the file's zero] and the picture of every frame, in order."""
        form = self.format
        pictures = ((picture.pts, picture) for picture in self._decoded())
        for number, (ticks, picture) in enumerate(rising(pictures, form.step)):
            data = i420(conformed(picture, form))
            nanoseconds = int(ticks * form.time_base * 1_000_000_000)
            yield ticks, Frame(data, Encoding.I420, form.width, form.height, 0, number, nanoseconds)

    def luma(self) -> Iterator[NDArray[np.uint8]]:
        """Every picture in gray, full range: uint8 (H, W)."""
        for picture in self._decoded():
            yield cast(NDArray[np.uint8], picture.to_ndarray(format="gray"))

    def _start(self) -> None:
        streams = [s for s in self._container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
        if not streams:
            raise MediaError(f"{self.path}: there is no video in it")
        stream = self._stream = streams[0]
        check_index(self.path, stream)
        stream.thread_type = "AUTO"
        self.metadata = dict(self._container.metadata)
        self._frames = self._decode()
        first = next(self._frames, None)
        if first is None:
            raise MediaError(f"{self.path}: not one picture of it can be decoded")
        self._format = format_of(stream, first)
        self._frames = chain([first], self._frames)

    def _decode(self) -> Iterator[av.VideoFrame]:
        """Decoded pictures. Before the first one errors are passed over: a recording may begin in mid-air."""
        count = 0
        packets = self._container.demux(self._stream)
        while True:
            with self._reading:
                if self._container is None:
                    return
                try:
                    packet = next(packets, None)
                    if packet is None:
                        return
                    pictures = packet.decode()
                except av.FFmpegError as error:
                    if count:
                        raise MediaError(f"{self.path}: damaged after {count} frames: {_reason(error)}") from error
                    continue
            count += len(pictures)
            yield from pictures

    def _decoded(self) -> Iterator[av.VideoFrame]:
        count, last = 0, Fraction(0)
        for picture in self._frames:
            count += 1
            if picture.pts is not None:
                last = max(last, picture.pts * self.format.time_base)
            yield picture
        if self._container is None:
            return
        check_length(self.path, self._container.format.name, self._stream, self.format, count, last)


def conformed(picture: av.VideoFrame, form: VideoFormat) -> av.VideoFrame:
    """``picture`` in planar 4:2:0 and of the video's size; itself where it is that already."""
    same_size = (picture.width, picture.height) == (form.width, form.height)
    if same_size and picture.format.name in _PLANAR:
        return picture
    # The range stays as it is tagged: only the layout changes, and the size if the stream changes it half-way.
    span = picture.color_range or None
    return picture.reformat(form.width, form.height, "yuv420p", src_color_range=span, dst_color_range=span)


def i420(picture: av.VideoFrame) -> bytes:
    """The planes of a 4:2:0 picture, packed."""
    rows = []
    for plane in picture.planes:
        padded = np.frombuffer(cast(Any, plane), np.uint8).reshape(-1, plane.line_size)
        rows.append(padded[: plane.height, : plane.width].tobytes())
    return b"".join(rows)


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)
