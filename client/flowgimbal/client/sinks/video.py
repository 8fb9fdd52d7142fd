"""A video file made of frames: exact times, the format's tags, the sound of the original; whole, or not there."""

from __future__ import annotations

import math
import os
import threading
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, Self, cast

import av
import numpy as np

from flowgimbal.client.errors import MediaError
from flowgimbal.client.frame import Frame, SteadyFrame
from flowgimbal.client.pixels import planes_of_i420
from flowgimbal.client.settings import Encoding
from flowgimbal.client.sinks.audio import AudioCopy
from flowgimbal.client.sinks.container import codec_of, options_of
from flowgimbal.client.sources.format import VideoFormat

_NARROW_RANGE, _FULL_RANGE = 1, 2
_NOT_COPIED = {"major_brand", "minor_version", "compatible_brands", "encoder"}


class VideoSink:
    """Writes ``path`` in the container that its suffix names: H.264, VP9 where it holds that alone, MPEG-4 in AVI.

    A context manager. The file is written beside ``path`` under another name and takes its place when all is in it: an
    exception in the block leaves nothing behind. Raises MediaError. ``notes`` lists what could not be kept.
    """

    def __init__(
        self,
        path: str | Path,
        form: VideoFormat,
        *,
        sound_of: str | Path | None = None,
        metadata: dict[str, str] | None = None,
    ) -> None:
        self.path = Path(path)
        self.notes: list[str] = []
        self._form = form
        self._sound_of = sound_of
        self._metadata = metadata or {}
        self._partial = self.path.parent / f".{self.path.stem}.{os.getpid()}.partial{self.path.suffix}"
        self._container: Any = None
        self._audio: AudioCopy | None = None
        self._last_slot: int | None = None
        self._writing = threading.Lock()  # a write that its caller gave up goes on: nothing may be closed under it

    def __enter__(self) -> Self:
        try:
            self._open()
        except (av.FFmpegError, OSError, ValueError) as error:
            self._discard()
            if isinstance(error, MediaError):
                raise
            raise MediaError(f"{self.path}: cannot be written: {_reason(error)}") from error
        except BaseException:
            self._discard()
            raise
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        with self._writing:
            try:
                if kind is None:
                    self._finish()
            except (av.FFmpegError, OSError) as error:
                if isinstance(error, MediaError):
                    raise
                raise MediaError(f"{self.path}: cannot be completed: {_reason(error)}") from error
            finally:
                self._discard()

    def write(self, frame: Frame | SteadyFrame, ticks: int) -> None:
        """Add a picture, shown at ``ticks`` of the format's time base; times must rise."""
        picture = self._picture(frame)
        seconds = ticks * self._form.time_base
        with self._writing:
            if self._container is None:
                raise MediaError(f"{self.path}: cannot be written: it is closed")
            picture.pts, picture.time_base = self._slot(seconds), self._time_base
            try:
                self._container.mux(self._stream.encode(picture))
                if self._audio is not None:
                    self._audio.until(seconds)
            except av.FFmpegError as error:
                raise MediaError(f"{self.path}: cannot be written: {_reason(error)}") from error

    def _open(self) -> None:
        form = self._form
        if self.path.is_dir():
            raise MediaError(f"{self.path}: cannot be written: it is a folder")
        options = options_of(self.path, form.time_base.denominator)
        self._container = av.open(str(self._partial), "w", options=options)
        codec, encoder_options = codec_of(self.path, self._container)
        self._container.metadata.update({k: v for k, v in self._metadata.items() if k not in _NOT_COPIED})
        avi = self._container.format.name == "avi"
        rate = form.rate.limit_denominator(60_000 // math.ceil(form.rate)) if avi else form.rate  # 16 bits in MPEG-4
        stream = self._stream = self._container.add_stream(codec, rate=rate, options=encoder_options)
        stream.width, stream.height = form.width, form.height
        # x264 takes odd sizes in 4:4:4 alone.
        odd = form.width % 2 or form.height % 2
        self._layout = stream.pix_fmt = "yuv444p" if odd and codec == "libx264" else "yuv420p"
        context = stream.codec_context
        # AVI counts frames and knows no other clock: a frame takes the next slot that is free.
        self._time_base = 1 / rate if avi else form.time_base
        context.time_base = stream.time_base = self._time_base
        # MPEG-4 has no room to say that the range is full: players would crush black and white.
        self._narrows = codec == "mpeg4" and form.colour_range == _FULL_RANGE
        context.color_range = _NARROW_RANGE if self._narrows else form.colour_range
        context.colorspace = form.colour_space
        context.color_primaries, context.color_trc = form.colour_primaries, form.colour_transfer
        if form.pixel_aspect:
            context.sample_aspect_ratio = form.pixel_aspect
        if form.display_matrix:
            stream.set_display_matrix(form.display_matrix)
        if self._sound_of is not None:
            self._audio = AudioCopy(self._sound_of, self._container)
            self.notes += self._audio.left_out
        self._container.start_encoding()

    def _slot(self, seconds: Fraction) -> int:
        slot = round(seconds / self._time_base)
        self._last_slot = slot if self._last_slot is None else max(slot, self._last_slot + 1)
        return self._last_slot

    def _picture(self, frame: Frame | SteadyFrame) -> av.VideoFrame:
        if (frame.width, frame.height) != (self._form.width, self._form.height) and frame.width:
            raise MediaError(f"{self.path}: a frame of {frame.width}x{frame.height} in a video of another size")
        if frame.encoding is not Encoding.I420:
            layout = {Encoding.RGB8: "rgb24", Encoding.GRAY8: "gray"}.get(frame.encoding, "bgr24")
            return av.VideoFrame.from_ndarray(frame.image, layout).reformat(format=self._layout)
        picture = av.VideoFrame(frame.width, frame.height, "yuv420p")
        planes = planes_of_i420(frame.data, frame.width, frame.height, frame.stride)
        for target, source in zip(picture.planes, planes, strict=True):
            rows = np.frombuffer(cast(Any, target), np.uint8).reshape(-1, target.line_size)
            rows[: source.shape[0], : source.shape[1]] = source
        if self._narrows:
            return picture.reformat(format=self._layout, src_color_range=_FULL_RANGE, dst_color_range=_NARROW_RANGE)
        return picture if self._layout == "yuv420p" else picture.reformat(format=self._layout)

    def _finish(self) -> None:
        self._container.mux(self._stream.encode(None))
        if self._audio is not None:
            self._audio.until(None)
        container, self._container = self._container, None
        container.close()
        self._partial.replace(self.path)

    def _discard(self) -> None:
        if self._audio is not None:
            self._audio.close()
        container, self._container = self._container, None
        if container is not None:
            # Closing writes what is buffered: on a full disk it fails as the write before it did.
            with suppress(av.FFmpegError):
                container.close()
        self._partial.unlink(missing_ok=True)


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)
