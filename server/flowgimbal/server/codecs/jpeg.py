"""JPEG: to planes by FFmpeg's decoder, from planes by libjpeg-turbo's encoder; BGR is never in between.

FFmpeg's decoder refuses damaged files when told to, where others return half a picture. It releases the GIL, and so
does the encoder.
"""

from __future__ import annotations

import av
import av.error
import numpy as np
import simplejpeg
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame

from flowgimbal.engines.picture import Layout, Picture, Plane
from flowgimbal.server.codecs import jpeg_header
from flowgimbal.server.codecs.codec import RawFrame
from flowgimbal.server.codecs.convert import convert
from flowgimbal.server.errors import Undecodable

_FORMATS = {
    "gray": (1, 1),
    "yuvj420p": (2, 2),
    "yuvj422p": (2, 1),
    "yuvj440p": (1, 2),
    "yuvj444p": (1, 1),
    "yuvj411p": (4, 1),
}


class JpegCodec:
    """One whole JPEG file a frame; width, height and stride of the message are not looked at."""

    def inspect(self, frame: RawFrame) -> tuple[int, int]:
        """The size that the file's header announces."""
        header = jpeg_header.parse(frame.data)
        return header.width, header.height

    def check(self, frame: RawFrame) -> None:
        """Nothing: a file of any length may be whole."""

    def decoder(self) -> JpegDecoder:
        """A decoder for one stream."""
        return JpegDecoder()

    def encoder(self, quality: int) -> JpegEncoder:
        """An encoder of this quality, 1 to 100."""
        return JpegEncoder(quality)


class JpegDecoder:
    """To planes, with the file's own chroma factors. Not thread-safe."""

    def __init__(self) -> None:
        self._context: VideoCodecContext | None = None

    def decode(self, frame: RawFrame) -> Picture:
        """The picture; raises Undecodable if the file is damaged anywhere."""
        try:
            if self._context is None:
                self._context = _open()
            frames = self._context.decode(av.Packet(frame.data))
        except av.error.FFmpegError:
            self._context = None  # what a damaged file left behind must not reach the next one
            return _fallback(frame.data)
        if len(frames) != 1 or frames[0].format.name not in _FORMATS:
            return _fallback(frame.data)
        return _picture(frames[0])


class JpegEncoder:
    """From planes, with the picture's own chroma factors."""

    def __init__(self, quality: int) -> None:
        self._quality = quality

    def encode(self, picture: Picture) -> bytes:
        """A whole baseline JPEG file."""
        planes = picture.planes if picture.layout is Layout.GRAY else convert(picture, Layout.YUV).planes
        luma, cb, cr = planes if len(planes) == 3 else (planes[0], None, None)
        data: bytes = simplejpeg.encode_jpeg_yuv_planes(luma, cb, cr, self._quality)
        return data


def _open() -> VideoCodecContext:
    context = CodecContext.create("mjpeg", "r")
    if not isinstance(context, VideoCodecContext):
        raise TypeError("FFmpeg's mjpeg decoder is not a video decoder")
    context.thread_count = 1  # more threads would hold frames back
    context.options = {"err_detect": "crccheck+bitstream+buffer+explode"}
    return context


def _picture(frame: VideoFrame) -> Picture:
    name = frame.format.name
    planes: list[Plane] = []
    # A view keeps the plane alive, and the plane FFmpeg's buffer.
    for plane in frame.planes[: 1 if name == "gray" else 3]:
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)  # type: ignore[call-overload]
        planes.append(rows[: plane.height, : plane.width])
    return Picture(Layout.GRAY if name == "gray" else Layout.YUV, tuple(planes), _FORMATS[name])


def _fallback(data: bytes) -> Picture:
    """What FFmpeg refuses may be damaged, or merely rare (RGB in a JPEG): libjpeg-turbo, strict, has the last word."""
    try:
        bgr: Plane = simplejpeg.decode_jpeg(data, "BGR", strict=True)
    except ValueError as error:
        raise Undecodable(
            "FRAME_UNDECODABLE", f"data: not a whole JPEG file ({error}); send one whole file a frame", field="data"
        ) from error
    return Picture(Layout.BGR, (bgr,))
