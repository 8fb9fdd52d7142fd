"""Real pictures to load a server with, encoded before any clock starts."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import cast

import cv2
import numpy as np

from flowgimbal.client.frame import Frame
from flowgimbal.client.pixels import Image
from flowgimbal.client.settings import Encoding
from flowgimbal.client.sources import VideoSource

JPEG_QUALITY = 90
_MEMORY_BYTES = 512 << 20


def load(clip: str, width: int, height: int, encoding: Encoding, count: int) -> list[Frame]:
    """The first ``count`` pictures of ``clip`` at ``width`` x ``height`` [pixels]: fewer if the clip is shorter or they
    would fill more than 512 MiB. MediaError for the clip; ValueError for an encoding that cannot be made here.
    """
    frames: list[Frame] = []
    total = 0
    with VideoSource(clip) as source:
        for _, raw in islice(source.frames(), count):
            frame = encode(cast(Image, cv2.resize(raw.image, (width, height))), encoding)
            total += len(frame.data)
            if frames and total > _MEMORY_BYTES:
                break
            frames.append(frame)
    return frames


def to_and_fro(frames: list[Frame], count: int) -> Iterator[Frame]:
    """``count`` frames: forwards, then backwards, and again, so that the picture never jumps."""
    last = len(frames) - 1
    for i in range(count):
        place = i % (2 * last) if last else 0
        yield frames[place if place <= last else 2 * last - place]


def encode(image: Image, encoding: Encoding) -> Frame:
    """A BGR picture (H, W, 3) as a frame; ValueError for H.264 and H.265."""
    height, width = image.shape[:2]
    if encoding is Encoding.JPEG:
        _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        return Frame(data.tobytes(), encoding, width, height)
    if encoding is Encoding.BGR8:
        return Frame.from_array(image)
    if encoding is Encoding.RGB8:
        return Frame.from_array(np.ascontiguousarray(image[:, :, ::-1]), encoding=encoding)
    if encoding is Encoding.GRAY8:
        return Frame.from_array(cast(Image, cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)))
    if encoding not in (Encoding.I420, Encoding.NV12):
        raise ValueError(f"encoding: bench makes no {encoding} frames")
    if width % 2 or height % 2:
        raise ValueError(f"size: {width}x{height} is odd, and bench makes {encoding} frames of even sizes")
    planar = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420).ravel()
    if encoding is Encoding.NV12:
        chroma = planar[width * height :].reshape(2, -1)
        planar = np.concatenate([planar[: width * height], chroma.T.ravel()])
    return Frame(planar.tobytes(), encoding, width, height)
