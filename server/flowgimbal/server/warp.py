"""The warp of one frame: where each point of the steady picture is found in the raw one."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Warp:
    """A backward map on a coarse mesh, in coordinates that fit every plane of a picture.

    ``mesh`` is float32 of shape (rows, cols, 2): the vertex (i, j) stands at the normalised output position
    (u, v) = (j / (cols - 1), i / (rows - 1)) and holds the normalised input position (u, v) shown there. Normalised
    means 0 at the outer edge of the first pixel and 1 at the outer edge of the last one: pixel x has its centre at
    u = (x + 0.5) / width. Between vertices the map is bilinear.
    """

    mesh: NDArray[np.float32]
    identity: bool = False  # the picture passes untouched

    @staticmethod
    def still(rows: int = 2, cols: int = 2) -> Warp:
        """The warp that changes nothing."""
        return Warp(vertices(rows, cols).astype(np.float32), identity=True)

    @staticmethod
    def from_offset(offset: NDArray[np.float64], extent: float) -> Warp:
        """The warp that shows the middle ``extent`` of the picture's sides, moved by ``offset`` in half sides."""
        rows, cols = offset.shape[1:]
        mesh = 0.5 + (vertices(rows, cols) - 0.5) * extent - 0.5 * offset.transpose(1, 2, 0)
        return Warp(mesh.astype(np.float32))

    def transform(self, width: int, height: int) -> NDArray[np.float64]:
        """The homography, input pixel -> output pixel, that fits the mesh best; float64 (3, 3)."""
        if self.identity:
            return np.eye(3)
        size = np.array([width, height])
        rows, cols = self.mesh.shape[:2]
        raw = self.mesh.reshape(-1, 2) * size - 0.5
        steady = vertices(rows, cols).reshape(-1, 2) * size - 0.5
        homography, _ = cv2.findHomography(raw.astype(np.float64), steady, 0)
        return np.eye(3) if homography is None else np.asarray(homography, np.float64)


@functools.cache
def vertices(rows: int, cols: int) -> NDArray[np.float64]:
    """Normalised output positions of a mesh's vertices: float64 (rows, cols, 2), read-only."""
    v, u = np.meshgrid(np.linspace(0.0, 1.0, rows), np.linspace(0.0, 1.0, cols), indexing="ij")
    positions = np.stack([u, v], -1)
    positions.flags.writeable = False
    return positions
