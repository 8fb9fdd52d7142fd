"""What must hold of every frame that comes back."""

from __future__ import annotations

import math

from flowgimbal.server.codecs import jpeg_header
from flowgimbal.v1 import stabilizer_pb2 as pb
from fuzz.verdict import demand

_BYTES_A_PIXEL = {pb.ENCODING_BGR8: 3, pb.ENCODING_RGB8: 3, pb.ENCODING_GRAY8: 1}
_HALF_CHROMA = (pb.ENCODING_NV12, pb.ENCODING_I420)


def check(steady: pb.StabilizedFrame, max_pixels: int) -> None:
    """Size, amount of data and transform of a frame; raises ServersFault. ``max_pixels`` is the server's limit."""
    frame = steady.frame
    width, height, length = frame.width, frame.height, len(frame.data)
    demand(0 < width * height <= max_pixels, f"a picture of {width}x{height} came back")
    demand(frame.stride == 0, f"a stride of {frame.stride} came back")
    if frame.encoding in _BYTES_A_PIXEL:
        demand(length == width * height * _BYTES_A_PIXEL[frame.encoding], f"{width}x{height} in {length} bytes")
    elif frame.encoding in _HALF_CHROMA:
        chroma = 2 * ((width + 1) // 2) * ((height + 1) // 2)
        demand(length == width * height + chroma, f"{width}x{height} in {length} bytes")
    elif frame.encoding == pb.ENCODING_JPEG:
        header = jpeg_header.parse(frame.data)
        demand((header.width, header.height) == (width, height), f"{header} for {width}x{height}")
    else:
        demand(length > 0, "an empty access unit came back")
    demand(len(steady.transform) == 9 and all(map(math.isfinite, steady.transform)), list(steady.transform))
