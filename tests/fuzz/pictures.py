"""Small synthetic pictures in every encoding: what a fuzzer begins with."""

from __future__ import annotations

import functools

import cv2
import numpy as np

from flowgimbal.engines.picture import Layout, Picture, Plane
from flowgimbal.server.codecs.codec import PLAIN, EncoderSettings
from flowgimbal.server.codecs.table import CODECS
from flowgimbal.v1 import stabilizer_pb2 as pb

SIZES = ((32, 24), (17, 19), (48, 16))
"""Width and height [pixels]; the first is the usual one."""
LENGTH = 6
"""Pictures a sequence."""
ENCODINGS = tuple(CODECS)
_QUALITY = EncoderSettings(quality=50, key_frame_interval=4)


@functools.cache
def sequence(encoding: pb.Encoding, size: tuple[int, int] = SIZES[0]) -> tuple[bytes, ...]:
    """``LENGTH`` pictures that move by a pixel each, as the data of frames that follow one another."""
    width, height = size
    coarse = np.random.default_rng(7).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    wide: Plane = cv2.resize(coarse, (width + LENGTH, height), interpolation=cv2.INTER_CUBIC).astype(np.uint8)
    encoder = CODECS[encoding].encoder(_QUALITY)
    found = []
    for number in range(LENGTH):
        picture = Picture(Layout.BGR, (np.ascontiguousarray(wide[:, number : number + width]),))
        found.append(encoder.encode(picture, PLAIN, number * 33_333_333))
    return tuple(found)
