"""A picture as numpy planes, so that no stage has to go through BGR."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8]


class Layout(Enum):
    """What the planes of a picture are."""

    BGR = "bgr"  # one plane (H, W, 3)
    RGB = "rgb"  # one plane (H, W, 3)
    GRAY = "gray"  # one plane (H, W)
    NV12 = "nv12"  # luma (H, W), then Cb and Cr interleaved (ceil(H/2), ceil(W/2), 2)
    YUV = "yuv"  # luma (H, W), Cb, Cr: each (ceil(H/fy), ceil(W/fx))


@dataclass(frozen=True, slots=True)
class Picture:
    """Planes of uint8 and what they are; rows may be padded (strided views), planes may be read-only.

    ``chroma`` is the horizontal and vertical factor (fx, fy) by which the chroma planes are smaller, (1, 1) if there
    are none. Chroma samples sit in the centre of the luma samples that they stand for, as in JPEG.
    YUV is full-range BT.601 (JFIF) wherever it has to be turned into or made from BGR; otherwise it passes as it is.
    """

    layout: Layout
    planes: tuple[Plane, ...]
    chroma: tuple[int, int] = (1, 1)

    @property
    def width(self) -> int:
        """Unit: pixels."""
        return int(self.planes[0].shape[1])

    @property
    def height(self) -> int:
        """Unit: pixels."""
        return int(self.planes[0].shape[0])

    @property
    def size(self) -> tuple[int, int]:
        """(width, height). Unit: pixels."""
        return self.width, self.height

    def factors(self, index: int) -> tuple[int, int]:
        """How much smaller than the picture the plane ``index`` is: (fx, fy)."""
        return (1, 1) if index == 0 else self.chroma


def luma(picture: Picture) -> Plane:
    """The (height, width) luma plane: a view where the picture has one."""
    if picture.layout is Layout.BGR:
        return _gray(picture.planes[0], cv2.COLOR_BGR2GRAY)
    if picture.layout is Layout.RGB:
        return _gray(picture.planes[0], cv2.COLOR_RGB2GRAY)
    return picture.planes[0]


def halved(length: int) -> int:
    """Samples of a half-size plane along a side of ``length`` pixels, odd ones rounded up."""
    return (length + 1) // 2


def _gray(plane: Plane, code: int) -> Plane:
    gray: Plane = cv2.cvtColor(plane, code)  # type: ignore[assignment]
    return gray
