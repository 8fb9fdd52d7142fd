"""Global motion as eight coefficients: the linear flow model of a homography.

Points are (X, Y) in half widths from the picture's centre: X in [-1, 1], Y in [-a, a], a = height / width. Motion is
in half widths too. A flow field that follows from a small camera motion is a sum of eight fields:

    0 shift X (1, 0)      2 zoom (X, Y)         4 stretch (X, -Y)     6 tilt X (X^2, X Y)
    1 shift Y (0, 1)      3 roll (-Y, X)        5 shear (Y, X)        7 tilt Y (X Y, Y^2)
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LANES = 8

Field = NDArray[np.float32]


def basis(points: Field) -> Field:
    """The eight fields at ``points`` (..., 2): float32 (..., 2, 8)."""
    x, y = points[..., 0], points[..., 1]
    one, zero = np.ones_like(x), np.zeros_like(x)
    u = [one, zero, x, -y, x, y, x * x, x * y]
    v = [zero, one, y, x, -y, x, x * y, y * y]
    return np.stack([np.stack(u, -1), np.stack(v, -1)], -2).astype(np.float32)


def lattice(rows: int, columns: int, aspect: float, *, extent: float = 1.0) -> Field:
    """A regular lattice over the middle ``extent`` of a picture, edges included: float32 (rows, columns, 2)."""
    y, x = np.meshgrid(
        np.linspace(-aspect, aspect, rows) * extent, np.linspace(-1.0, 1.0, columns) * extent, indexing="ij"
    )
    return np.stack([x, y], -1).astype(np.float32)
