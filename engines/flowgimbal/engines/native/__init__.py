"""The compiled road of ``sampling.py``: ``sampling.c``, where it was built and the processor can go it.

``engines/compile_sampling.py`` builds it when the package is installed, if there is a C compiler. It is a plain library
without Python in it, called through ctypes, which gives the interpreter's lock away meanwhile.
"""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LIBRARY = Path(__file__).with_name("sampling.library")  # not .so: Python would take it for a module
REVISION = 1  # of the library's functions: as in the C
LEAST, MOST = (2, 16), 16384  # rows and columns of a plane that it takes


@cache
def why_not() -> str:
    """Why this machine has to do without; empty if it need not."""
    if not LIBRARY.exists():
        return "not built: there was no C compiler for x86-64 when flowgimbal was installed"
    try:
        library = ctypes.CDLL(str(LIBRARY))
        if library.revision() != REVISION:
            return "it is of another version: install flowgimbal again"
        return "" if library.usable() else "this processor has no AVX2"
    except (OSError, AttributeError) as error:
        return f"it does not load: {error}"


def takes(plane: NDArray[np.uint8]) -> bool:
    """Whether it samples such a plane here."""
    if plane.ndim != 2 or plane.strides[1] != 1 or why_not():
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
    assert out.shape == plane.shape
    assert out.flags.c_contiguous
    _function()(
        plane.ctypes.data, plane.strides[0], height, width, places.ctypes.data, rows, columns, *span, out.ctypes.data
    )


@cache
def _function() -> Any:
    function = ctypes.CDLL(str(LIBRARY)).sample
    pointer, whole, real = ctypes.c_void_p, ctypes.c_int, ctypes.c_double
    function.argtypes = [pointer, ctypes.c_ssize_t, whole, whole, pointer, whole, whole, real, real, pointer]
    function.restype = None
    return function
