"""Pictures in the host's memory: what engines share whose pixels the CPU moves."""

from __future__ import annotations

import threading

import cv2
import numpy as np
from numpy.typing import NDArray

from flowgimbal.engines.picture import Picture
from flowgimbal.engines.sampling import Sampler


class HostPixels:
    """The part of ``Engine`` that has to do with pictures, for pictures that stay where they are."""

    on_cores = True
    lost = ""

    def __init__(self) -> None:
        self._local = threading.local()  # a sampler has buffers of its own: one for each thread

    def close(self) -> None:
        """Nothing is held that the garbage collector does not find."""

    def hold(self, picture: Picture) -> Picture:
        """The picture itself."""
        return picture

    def sample(self, held: Picture, mesh: NDArray[np.float32]) -> Picture:
        """See ``Engine.sample``."""
        sampler: Sampler | None = getattr(self._local, "sampler", None)
        if sampler is None:
            sampler = self._local.sampler = Sampler()
        return sampler.sample(held, mesh)


def shrink(luma: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Luma at (width, height) ``size``: exact halvings, which are nearly free, then one linear step."""
    width, height = size
    while luma.shape[1] >= 2 * width and luma.shape[0] >= 2 * height:
        half = (luma.shape[1] // 2, luma.shape[0] // 2)
        luma = np.asarray(cv2.resize(luma[: 2 * half[1], : 2 * half[0]], half, interpolation=cv2.INTER_AREA))
    if luma.shape != (height, width):
        larger = luma.shape[1] * luma.shape[0] > 1.5 * width * height
        how = cv2.INTER_AREA if larger else cv2.INTER_LINEAR
        luma = np.asarray(cv2.resize(luma, (width, height), interpolation=how))
    return np.ascontiguousarray(luma)


def contrast(luma: NDArray[np.uint8]) -> float:
    """Grey levels RMS around the mean."""
    return float(cv2.meanStdDev(luma)[1][0, 0])
