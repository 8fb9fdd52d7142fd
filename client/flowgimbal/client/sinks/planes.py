"""Pictures as they are, for programs that read pipes or a camera: Y4M, or bare I420 planes one after the other."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
from av.codec.context import CodecContext

from flowgimbal.client.errors import MediaError
from flowgimbal.client.settings import Encoding
from flowgimbal.client.sinks.output import Output
from flowgimbal.client.sinks.shot import Shot

FIRST = 5
CAMERA = "v4l2"
FORMATS = {"y4m": "yuv4mpegpipe", "raw": "rawvideo", CAMERA: CAMERA}
_CODECS = {Encoding.H264: "h264", Encoding.HEVC: "hevc", Encoding.JPEG: "mjpeg"}


class PlaneSink:
    """Decodes and writes to ``url``: ``y4m:TARGET`` or ``raw:TARGET``, a file, a named pipe, or ``-`` (stdout), or
    ``v4l2:/dev/videoN``, a device of v4l2loopback, which other programs see as a camera. Raises MediaError for another.

    Y4M says a frame rate once: it is that of the nearest two of the first five pictures, which wait for each other.
    """

    def __init__(self, url: str) -> None:
        self.name = url
        kind, _, self._target = url.partition(":")
        self._format = FORMATS[kind]
        if kind == CAMERA and not self._target.startswith("/dev/"):
            raise MediaError(f"{self.name}: write {CAMERA}:/dev/videoN, a device of v4l2loopback")
        self._decoder: Any = None
        self._out = Output(self.name, self._target)
        self._stream: Any = None
        self._first: list[tuple[int, Any]] = []
        self._size = (0, 0)

    def write(self, shot: Shot) -> None:
        """See ``Sink``."""
        try:
            if self._decoder is None:
                self._decoder = CodecContext.create(_CODECS[shot.encoding], "r")
                self._decoder.thread_count = 1  # several would each hold a picture back
            for picture in self._decoder.decode(av.Packet(shot.data)):
                self._picture(shot.time_ns, picture.reformat(format="yuv420p"))
        except KeyError:
            raise MediaError(f"{self.name}: it takes compressed pictures, not {shot.encoding}") from None
        except (av.FFmpegError, OSError, ValueError) as error:
            self._drop()
            reason = getattr(error, "strerror", None) or str(error)
            raise MediaError(f"{self.name}: cannot be written: {reason}") from error

    def close(self) -> None:
        """See ``Sink``."""
        if self._out.container is None and self._first:
            self._begin()
        self._out.close()

    def _picture(self, time_ns: int, picture: Any) -> None:
        if self._out.container is None:
            self._first.append((time_ns, picture))
            if len(self._first) == FIRST:
                self._begin()
            return
        if (picture.width, picture.height) != self._size:
            self.close()  # what there is of the other size is whole
            raise ValueError(f"a picture of {picture.width}x{picture.height} after others of another size")
        self._mux(picture)

    def _begin(self) -> None:
        first, self._first = self._first, []
        steps = [after[0] - before[0] for before, after in pairwise(first)]
        rate = Fraction(1_000_000_000, max(1, min(steps))).limit_denominator(1001) if steps else Fraction(30)
        self._open(rate, first[0][1])
        for one in first:
            self._picture(*one)

    def _open(self, rate: Fraction, picture: Any) -> None:
        if self._format == CAMERA and not Path(self._target).is_char_device():
            raise OSError("there is no such device; `modprobe v4l2loopback` makes one")
        self._out.container = av.open(self._out.target(), "w", format=self._format, options={"flush_packets": "1"})
        self._stream = self._out.container.add_stream("rawvideo", rate=max(rate, Fraction(1)))
        self._stream.pix_fmt = "yuv420p"
        self._size = self._stream.width, self._stream.height = picture.width, picture.height

    def _mux(self, picture: Any) -> None:
        picture.pts = None
        self._out.container.mux(self._stream.encode(picture))
        self._out.written += 1

    def _drop(self) -> None:
        self._decoder, self._first = None, []
        self._out.drop()
