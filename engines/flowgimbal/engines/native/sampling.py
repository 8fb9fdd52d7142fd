"""The compiled road of ``engines/sampling.py``: one plane of bytes through a mesh."""

from __future__ import annotations

from ctypes import c_double, c_int, c_ssize_t, c_void_p
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowgimbal.engines import native

LEAST, MOST = (2, 16), 16384  # rows and columns of a plane that it takes


def takes(plane: NDArray[np.uint8]) -> bool:
    """Whether it samples such a plane here."""
    if plane.ndim != 2 or plane.strides[1] != 1 or native.why_not():
        return False
    return all(least <= side <= MOST for least, side in zip(LEAST, plane.shape, strict=True))


def sample(
    plane: NDArray[np.uint8], places: NDArray[np.float32], span: tuple[float, float], out: NDArray[np.uint8]
) -> None:
    """Fill ``out``, of the shape of ``plane``, with what ``places`` (rows, cols, 2) show of it: x, y in samples.

    Their vertices stand edge to edge over ``span`` samples of ``out``, down and across. Bilinear between vertices and
    between samples; outside of the plane its edge is repeated.
    """
    places = np.ascontiguousarray(places, np.float32)
    rows, columns = places.shape[:2]
    height, width = plane.shape
    if out.shape != plane.shape or not out.flags.c_contiguous:
        raise ValueError(f"a plane of {plane.shape} cannot be sampled into {out.shape}")
    _sample()(
        plane.ctypes.data, plane.strides[0], height, width, places.ctypes.data, rows, columns, *span, out.ctypes.data
    )


@cache
def _sample() -> Any:
    return native.function(
        "sample", [c_void_p, c_ssize_t, c_int, c_int, c_void_p, c_int, c_int, c_double, c_double, c_void_p]
    )
