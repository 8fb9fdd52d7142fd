"""JPEG: to planes by FFmpeg's decoder, from planes by libjpeg-turbo's encoder; BGR is never in between.

FFmpeg's decoder refuses damaged files when told to, where others return half a picture. It releases the GIL, and so
does the encoder.
"""

from __future__ import annotations

from collections.abc import Sequence

import av
import av.error
import simplejpeg
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext

from flowgimbal.engines.picture import Layout, Picture, Plane
from flowgimbal.server.codecs import jpeg_header
from flowgimbal.server.codecs.codec import Attached, Decoded, EncoderSettings, RawFrame, Still
from flowgimbal.server.codecs.convert import convert
from flowgimbal.server.codecs.planes import as_still, viewed
from flowgimbal.server.errors import Undecodable


class JpegCodec(Still):
    """One whole JPEG file a frame; width, height and stride of the message are not looked at."""

    def inspect(self, frame: RawFrame) -> tuple[int, int]:
        """The size that the file's header announces."""
        header = jpeg_header.parse(frame.data)
        return header.width, header.height

    def check(self, frame: RawFrame) -> None:
        """Nothing: a file of any length may be whole."""

    def decoder(self, max_pixels: int) -> JpegDecoder:
        """A decoder for one stream."""
        return JpegDecoder(max_pixels)

    def encoder(self, settings: EncoderSettings) -> JpegEncoder:
        """An encoder of this quality."""
        return JpegEncoder(settings.quality)


class JpegDecoder(Still):
    """To planes, with the file's own chroma factors. Not thread-safe."""

    def __init__(self, max_pixels: int) -> None:
        self._max_pixels = max_pixels
        self._context: VideoCodecContext | None = None

    def decode(self, frame: RawFrame) -> Sequence[Decoded]:
        """The frame's picture; raises Undecodable if the file is damaged anywhere."""
        return (Decoded(frame.frame_id, self._picture(frame)),)

    def _picture(self, frame: RawFrame) -> Picture:
        try:
            if self._context is None:
                self._context = _open(self._max_pixels)
            frames = self._context.decode(av.Packet(frame.data))
        except av.error.FFmpegError:
            self._context = None  # what a damaged file left behind must not reach the next one
            return _fallback(frame.data)
        picture = viewed(frames[0]) if len(frames) == 1 else None
        return picture or _fallback(frame.data)


class JpegEncoder(Still):
    """From planes, with the picture's own chroma factors."""

    def __init__(self, quality: int) -> None:
        self._quality = quality

    def encode(self, picture: Picture, attached: Attached, capture_time_ns: int) -> bytes:  # noqa: ARG002 - no clock
        """A whole baseline JPEG file."""
        picture = as_still(picture, attached.colour)
        planes = picture.planes if picture.layout is Layout.GRAY else convert(picture, Layout.YUV).planes
        luma, cb, cr = planes if len(planes) == 3 else (planes[0], None, None)
        data: bytes = simplejpeg.encode_jpeg_yuv_planes(luma, cb, cr, self._quality)
        return data


def _open(max_pixels: int) -> VideoCodecContext:
    context = CodecContext.create("mjpeg", "r")
    if not isinstance(context, VideoCodecContext):
        raise TypeError("FFmpeg's mjpeg decoder is not a video decoder")
    context.thread_count = 1  # more threads would hold frames back
    # A second frame header may announce more than the one that was inspected.
    context.options = {"err_detect": "crccheck+bitstream+buffer+explode", "max_pixels": str(max_pixels)}
    return context


def _fallback(data: bytes) -> Picture:
    """What FFmpeg refuses may be damaged, or merely rare (RGB in a JPEG): libjpeg-turbo, strict, has the last word."""
    try:
        bgr: Plane = simplejpeg.decode_jpeg(data, "BGR", strict=True)
    except ValueError as error:
        raise Undecodable(
            "FRAME_UNDECODABLE", f"data: not a whole JPEG file ({error}); send one whole file a frame", field="data"
        ) from error
    return Picture(Layout.BGR, (bgr,))
