"""Moves the pixels on the CPU: samples every plane of a picture through a mesh.

The mesh becomes full-size maps as two small matrix products (a bilinear interpolation is linear along each axis) and
cv2 samples through them, a strip of rows at a time so that the maps stay in the cache instead of going to memory.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from flowgimbal.engines.picture import Picture, Plane

STRIP_ROWS = 64
BLAS_ALONE = 1 << 18
"""Multiplications up to which OpenBLAS keeps to the calling thread. Above it wakes one thread a core, and where
streams share the cores the product of a strip then takes hundreds of times as long."""

Float = NDArray[np.float32]


class Sampler:
    """Samples the pictures of one thread; keeps its tables and buffers between frames."""

    def __init__(self) -> None:
        self._hats: dict[tuple[int, int, int], Float] = {}
        self._maps: tuple[Float, Float] = (np.empty(0, np.float32), np.empty(0, np.float32))

    def sample(self, picture: Picture, mesh: Float) -> Picture:
        """The picture seen through the ``mesh``, see ``Engine.sample``: same layout, packed new planes.

        Bilinear; outside the picture its edge is repeated.
        """
        planes = tuple(
            self._plane(plane, mesh, picture.size, picture.factors(index)) for index, plane in enumerate(picture.planes)
        )
        return Picture(picture.layout, planes, picture.chroma)

    def _plane(self, plane: Plane, mesh: Float, size: tuple[int, int], factors: tuple[int, int]) -> Plane:
        height, width = plane.shape[:2]
        rows, cols = mesh.shape[:2]
        # The width in samples of this plane; with an odd size the last chroma sample reaches beyond the picture.
        span_x, span_y = size[0] / factors[0], size[1] / factors[1]
        down = self._hat(height, span_y, rows)
        across = self._hat(width, span_x, cols).T
        # x and y of every mesh vertex in samples, interpolated down the columns first: (height, cols) each
        x = down @ (mesh[..., 0] * np.float32(span_x) - np.float32(0.5))
        y = down @ (mesh[..., 1] * np.float32(span_y) - np.float32(0.5))
        map_x, map_y = self._buffers(width)
        out = np.empty(plane.shape, np.uint8)
        for top in range(0, height, STRIP_ROWS):
            bottom = min(top + STRIP_ROWS, height)
            strip_x, strip_y = map_x[: bottom - top], map_y[: bottom - top]
            _multiply(x[top:bottom], across, strip_x)
            _multiply(y[top:bottom], across, strip_y)
            cv2.remap(plane, strip_x, strip_y, cv2.INTER_LINEAR, dst=out[top:bottom], borderMode=cv2.BORDER_REPLICATE)
        return out

    def _hat(self, samples: int, span: float, vertices: int) -> Float:
        key = (samples, round(span * 4), vertices)
        if key not in self._hats:
            self._hats[key] = hat_matrix(samples, span, vertices)
        return self._hats[key]

    def _buffers(self, width: int) -> tuple[Float, Float]:
        if self._maps[0].size < STRIP_ROWS * width:
            self._maps = np.empty(STRIP_ROWS * width, np.float32), np.empty(STRIP_ROWS * width, np.float32)
        first, second = (buffer[: STRIP_ROWS * width].reshape(STRIP_ROWS, width) for buffer in self._maps)
        return first, second


def _multiply(left: Float, right: Float, out: Float) -> None:
    step = max(1, BLAS_ALONE // right.size)
    for top in range(0, len(left), step):
        np.matmul(left[top : top + step], right, out=out[top : top + step])


def hat_matrix(samples: int, span: float, vertices: int) -> Float:
    """Weights (samples, vertices) that interpolate linearly between vertices spread edge to edge over ``span``.

    Sample i stands at (i + 0.5) / span of the way from the first vertex to the last; one beyond the last is
    extrapolated.
    """
    place = (np.arange(samples) + 0.5) / span * (vertices - 1)
    left = np.clip(np.floor(place), 0, vertices - 2).astype(np.intp)
    weight = (place - left).astype(np.float32)
    matrix = np.zeros((samples, vertices), np.float32)
    row = np.arange(samples)
    matrix[row, left] = 1 - weight
    matrix[row, left + 1] = weight
    return matrix
