"""The compiled road of the flow network's least squares (``networks/polish.py``): between its last two parts."""

from __future__ import annotations

from ctypes import c_int, c_void_p
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowgimbal.engines import native
from flowgimbal.engines.shapes import STRIDE

Tensor = NDArray[np.float32]


def polish(first: Tensor, second: Tensor, matched: Tensor, log_scale: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The change of the matched flow and the first step in it, (1, 2, rows, columns), what tells how far to trust that,
    and the first picture's texture, (1, 3, rows, columns) both.

    ``first`` and ``second`` are soft pictures (1, 1, STRIDE * rows, STRIDE * columns), ``matched`` is the flow (1, 2,
    rows, columns) in their pixels, ``log_scale`` of it (1, 1, rows, columns). What tells is without its logarithm.
    """
    _, _, height, width = first.shape
    rows, columns = height // STRIDE, width // STRIDE
    inputs = [np.ascontiguousarray(each, np.float32) for each in (first, second, matched, log_scale)]
    shapes = [(1, 1, STRIDE * rows, STRIDE * columns)] * 2 + [(1, 2, rows, columns), (1, 1, rows, columns)]
    if [each.shape for each in inputs] != shapes:
        raise ValueError(f"{', '.join(str(each.shape) for each in inputs)} do not go together")
    change, step, tell, texture = outputs = [np.empty((1, n, rows, columns), np.float32) for n in (2, 2, 3, 3)]
    pictures, fields = ([each.ctypes.data for each in some] for some in (inputs[:2], [*inputs[2:], *outputs]))
    if not _polish()(*pictures, height, width, *fields):
        raise MemoryError("no memory to polish the flow in")
    return change, step, tell, texture


@cache
def _polish() -> Any:
    pointer = c_void_p
    return native.function("polish", [pointer, pointer, c_int, c_int, *[pointer] * 6], c_int)
