"""Moves the pixels on the CPU: samples every plane of a picture through a mesh.

Planes of one byte a sample take the compiled road where there is one (``native``). For all else the mesh becomes
full-size maps as two small matrix products (a bilinear interpolation is linear along each axis) and cv2 samples through
them, a strip of rows at a time so that the maps stay in the cache instead of going to memory.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from flowgimbal.engines.native import sampling as native
from flowgimbal.engines.picture import Picture, Plane

STRIP_ROWS = 64

Float = NDArray[np.float32]
Lattice = tuple[int, int, float, float]  # samples down and across, and how many of them span the picture


class Sampler:
    """Samples the pictures of one thread; keeps its tables and buffers between frames."""

    def __init__(self) -> None:
        self._hats: dict[tuple[int, float, int], Float] = {}
        self._maps: tuple[Float, Float] = (np.empty(0, np.float32), np.empty(0, np.float32))

    def sample(self, picture: Picture, mesh: Float) -> Picture:
        """The picture seen through the ``mesh``, see ``Engine.sample``: same layout, packed new planes.

        Bilinear; outside the picture its edge is repeated.
        """
        out = tuple(np.empty(plane.shape, np.uint8) for plane in picture.planes)
        alike: dict[Lattice, list[tuple[Plane, Plane]]] = {}  # both chroma planes are looked up in the same places
        for index, (plane, seen) in enumerate(zip(picture.planes, out, strict=True)):
            # The width in samples of this plane; with an odd size the last chroma sample reaches beyond the picture.
            fx, fy = picture.factors(index)
            span = picture.height / fy, picture.width / fx
            if native.takes(plane):
                native.sample(plane, places(mesh, span), span, seen)
            else:
                alike.setdefault((*plane.shape[:2], *span), []).append((plane, seen))
        for lattice, planes in alike.items():
            self._sample(planes, mesh, lattice)
        return Picture(picture.layout, out, picture.chroma)

    def _sample(self, planes: list[tuple[Plane, Plane]], mesh: Float, lattice: Lattice) -> None:
        height, width, span_y, span_x = lattice
        rows, cols = mesh.shape[:2]
        down = self._hat(height, span_y, rows)
        across = self._hat(width, span_x, cols).T
        # x and y of every mesh vertex, interpolated down the columns first: (height, cols) each
        x, y = (down @ lane for lane in places(mesh, (span_y, span_x)).transpose(2, 0, 1))
        map_x, map_y = self._buffers(width)
        for top in range(0, height, STRIP_ROWS):
            strip = slice(top, min(top + STRIP_ROWS, height))
            strip_x = np.matmul(x[strip], across, out=map_x[: strip.stop - top])
            strip_y = np.matmul(y[strip], across, out=map_y[: strip.stop - top])
            for plane, seen in planes:
                cv2.remap(plane, strip_x, strip_y, cv2.INTER_LINEAR, dst=seen[strip], borderMode=cv2.BORDER_REPLICATE)

    def _hat(self, samples: int, span: float, vertices: int) -> Float:
        key = (samples, span, vertices)
        if key not in self._hats:
            self._hats[key] = hat_matrix(samples, span, vertices)
        return self._hats[key]

    def _buffers(self, width: int) -> tuple[Float, Float]:
        if self._maps[0].size < STRIP_ROWS * width:
            self._maps = np.empty(STRIP_ROWS * width, np.float32), np.empty(STRIP_ROWS * width, np.float32)
        first, second = (buffer[: STRIP_ROWS * width].reshape(STRIP_ROWS, width) for buffer in self._maps)
        return first, second


def places(mesh: Float, span: tuple[float, float]) -> Float:
    """A mesh's normalised places in samples of a plane, of which ``span``, down and across, make the picture."""
    span_y, span_x = span
    return mesh * np.array([span_x, span_y], np.float32) - np.float32(0.5)


def hat_matrix(samples: int, span: float, vertices: int) -> Float:
    """Weights (samples, vertices) that interpolate linearly between vertices spread edge to edge over ``span``.

    Sample i stands at (i + 0.5) / span of the way from the first vertex to the last; one beyond the last is
    extrapolated.
    """
    place = (np.arange(samples) + 0.5) / span * (vertices - 1)
    left = np.clip(np.floor(place), 0, vertices - 2).astype(np.intp)
    weight = (place - left).astype(np.float32)
    matrix = np.zeros((samples, vertices), np.float32, order="F")  # BLAS is the faster for its transpose
    row = np.arange(samples)
    matrix[row, left] = 1 - weight
    matrix[row, left + 1] = weight
    return matrix
