"""From the bytes of a frame to an array of pixels."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from flowgimbal.client.errors import CorruptFrame, Unsupported
from flowgimbal.client.settings import Encoding

Image = NDArray[np.uint8]

_CHANNELS = {Encoding.BGR8: 3, Encoding.RGB8: 3, Encoding.GRAY8: 1}


def decode(data: bytes, encoding: Encoding, width: int, height: int, stride: int = 0) -> Image:
    """The picture in ``data``: uint8 (H, W, 3) in BGR order (RGB8 keeps its own), GRAY8 as (H, W).

    Raises CorruptFrame for data that is no such picture, Unsupported for H.264 and H.265.
    """
    if encoding is Encoding.JPEG:
        return _jpeg(data)
    if encoding in (Encoding.H264, Encoding.HEVC):
        raise Unsupported(f"{encoding} access units need a decoder with a state; PyAV has one", reason="NO_DECODER")
    if encoding in _CHANNELS:
        channels = _CHANNELS[encoding]
        image = _rows(data, 0, height, width * channels, stride)
        return image if channels == 1 else image.reshape(height, width, channels)
    return _yuv420(data, encoding, width, height, stride)


def planes_of_i420(data: bytes, width: int, height: int, stride: int = 0) -> tuple[Image, Image, Image]:
    """Views of the three planes of an I420 picture: (H, W) and twice (ceil(H/2), ceil(W/2)).

    Raises CorruptFrame if ``data`` is too short.
    """
    stride = stride or width
    rows, columns = (height + 1) // 2, (width + 1) // 2
    half = (stride + 1) // 2
    luma = _rows(data, 0, height, width, stride)
    blue = _rows(data, stride * height, rows, columns, half)
    red = _rows(data, stride * height + half * rows, rows, columns, half)
    return luma, blue, red


def _rows(data: bytes, offset: int, rows: int, width: int, stride: int) -> Image:
    stride = stride or width
    if len(data) < offset + stride * rows or stride < width:
        raise CorruptFrame(f"a frame of {len(data)} bytes is shorter than its {rows} rows of {stride} bytes")
    flat = np.frombuffer(data, np.uint8, stride * rows, offset)
    return flat.reshape(rows, stride)[:, :width]


def _yuv420(data: bytes, encoding: Encoding, width: int, height: int, stride: int) -> Image:
    rows, columns = (height + 1) // 2, (width + 1) // 2
    if encoding is Encoding.I420:
        luma, blue, red = planes_of_i420(data, width, height, stride)
        chroma = np.concatenate([blue.ravel(), red.ravel()])
        code = cv2.COLOR_YUV2BGR_I420
    else:
        step = stride or width
        luma = _rows(data, 0, height, width, step)
        chroma = _rows(data, step * height, rows, 2 * columns, step + step % 2).ravel()
        code = cv2.COLOR_YUV2BGR_NV12
    # OpenCV takes even sizes alone; an odd edge is repeated and cut off again.
    luma = np.pad(luma, ((0, height % 2), (0, width % 2)), mode="edge") if height % 2 or width % 2 else luma
    stacked = np.concatenate([luma.ravel(), chroma]).reshape(rows * 3, columns * 2)
    return cast(Image, cv2.cvtColor(stacked, code))[:height, :width]


def _jpeg(data: bytes) -> Image:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        raise CorruptFrame(f"not a JPEG picture: {error}") from error
    if image is None:
        raise CorruptFrame(f"the {len(data)} bytes of this frame are no JPEG picture")
    return cast(Image, image)
