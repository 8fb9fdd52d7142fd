"""The codecs of this build, by encoding. A new family of encodings enters here and nowhere else."""

from __future__ import annotations

from collections.abc import Mapping

from flowgimbal.server.codecs.codec import Codec, RawFrame
from flowgimbal.server.codecs.jpeg import JpegCodec
from flowgimbal.server.codecs.raw import RawCodec
from flowgimbal.server.codecs.video import VideoCodec
from flowgimbal.server.errors import InvalidArgument
from flowgimbal.server.limits import check_size
from flowgimbal.server.stream_config import unsupported_encoding
from flowgimbal.v1 import stabilizer_pb2 as pb

CODECS: Mapping[pb.Encoding, Codec] = {
    pb.ENCODING_BGR8: RawCodec(pb.ENCODING_BGR8),
    pb.ENCODING_RGB8: RawCodec(pb.ENCODING_RGB8),
    pb.ENCODING_NV12: RawCodec(pb.ENCODING_NV12),
    pb.ENCODING_I420: RawCodec(pb.ENCODING_I420),
    pb.ENCODING_GRAY8: RawCodec(pb.ENCODING_GRAY8),
    pb.ENCODING_JPEG: JpegCodec(),
    pb.ENCODING_H264: VideoCodec("h264"),
    pb.ENCODING_HEVC: VideoCodec("hevc"),
}


def codec_for(frame: RawFrame) -> Codec:
    """The codec of the frame's encoding; raises InvalidArgument if it has none, Unsupported if this build lacks it."""
    codec = CODECS.get(frame.encoding)
    if codec is not None:
        return codec
    if frame.encoding == pb.ENCODING_UNSPECIFIED or frame.encoding not in pb.Encoding.values():
        message = f"encoding: {frame.encoding} says nothing about the data; set it in every frame"
        raise InvalidArgument("ENCODING_UNSPECIFIED", message, field="encoding", value=frame.encoding)
    raise unsupported_encoding("encoding", frame.encoding, CODECS)


def inspect(frame: RawFrame, max_pixels: int) -> tuple[int, int] | None:
    """(width, height) in pixels of a frame that may be decoded, None: as before; nothing is decoded here.

    Raises what ``codec_for``, ``Codec.inspect``, ``limits.check_size`` and ``Codec.check`` raise, in that order.
    """
    codec = codec_for(frame)
    size = codec.inspect(frame)
    if size is not None:
        check_size(*size, max_pixels)
    codec.check(frame)
    return size
