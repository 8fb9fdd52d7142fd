"""The warp of one frame: where each point of the steady picture is found in the raw one."""

from __future__ import annotations

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

    def transform(self, width: int, height: int) -> NDArray[np.float64]:
        """The homography, input pixel -> output pixel, that fits the mesh best; float64 (3, 3)."""
        raise NotImplementedError
