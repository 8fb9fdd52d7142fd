"""A video as small gray pictures, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from flowgimbal.client.sources.video import VideoSource

Gray = NDArray[np.uint8]

WIDTH = 640
UNIT = 1280 / WIDTH
"""What one pixel of these pictures counts."""


def gray_frames(path: str | Path, limit: int | None = None) -> Iterator[Gray]:
    """The first ``limit`` pictures, uint8 (H, 640); all if None. Raises MediaError as VideoSource does."""
    with VideoSource(path) as source:
        for picture in islice(source.luma(), limit):
            yield shrink(picture)


def shrink(picture: Gray) -> Gray:
    """A luma picture (H, W) at a width of 640."""
    height = max(2, round(picture.shape[0] * WIDTH / picture.shape[1]))
    return cast(Gray, cv2.resize(picture, (WIDTH, height), interpolation=cv2.INTER_AREA))
