"""The warp of one frame: where each point of the steady picture is found in the raw one."""

from __future__ import annotations

import functools
from dataclasses import dataclass

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
        # In half widths from the centre: small, and alike in both directions.
        shape = np.array([2.0, 2.0 * height / width])
        raw = (self.mesh - 0.5).reshape(-1, 2) * shape
        steady = (vertices(*self.mesh.shape[:2]) - 0.5).reshape(-1, 2) * shape
        half, middle = width / 2, [(width - 1) / 2, (height - 1) / 2]
        to_pixels = np.array([[half, 0.0, middle[0]], [0.0, half, middle[1]], [0.0, 0.0, 1.0]])
        homography = to_pixels @ _fit_homography(raw, steady) @ np.linalg.inv(to_pixels)
        return np.asarray(homography / homography[2, 2])


def _fit_homography(source: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """The homography (3, 3) from points ``source`` to ``target``, (n, 2) each, with the least squared distance.

    The direct linear transform, weighted by the denominators of its first solution (Hartley & Zisserman, Multiple View
    Geometry, 4.1 and 4.2.2): these are near one here, and the second solution is the least of distances nearly.
    """
    x, y = source.T
    ones, zeros = np.ones_like(x), np.zeros_like(x)
    rows = np.stack(
        [
            np.stack([x, y, ones, zeros, zeros, zeros, -target[:, 0] * x, -target[:, 0] * y], -1),
            np.stack([zeros, zeros, zeros, x, y, ones, -target[:, 1] * x, -target[:, 1] * y], -1),
        ],
        1,
    )
    weight = ones
    for _ in range(2):
        weighted = (rows / weight[:, None, None]).reshape(-1, 8)
        values = (target / weight[:, None]).reshape(-1)
        solution = np.linalg.solve(weighted.T @ weighted, weighted.T @ values)
        weight = 1.0 + solution[6] * x + solution[7] * y
    return np.append(solution, 1.0).reshape(3, 3)


@functools.cache
def vertices(rows: int, cols: int) -> NDArray[np.float64]:
    """Normalised output positions of a mesh's vertices: float64 (rows, cols, 2), read-only."""
    v, u = np.meshgrid(np.linspace(0.0, 1.0, rows), np.linspace(0.0, 1.0, cols), indexing="ij")
    positions = np.stack([u, v], -1)
    positions.flags.writeable = False
    return positions
