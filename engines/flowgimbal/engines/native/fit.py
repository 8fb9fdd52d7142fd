"""The compiled road of the server's ``motion.py``: the motion that a field of flow shows."""

from __future__ import annotations

from ctypes import POINTER, Structure, c_double, c_int, c_void_p
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowgimbal.engines import native
from flowgimbal.engines.engine import FlowField

MOST_LANES = 16  # as in fit.c
TOLD = 3  # numbers beside the coefficients
HOW = 6  # numbers that say how

Numbers = NDArray[np.float64]


class Fields(Structure):
    """Fields to fit with: ``rows`` (n, 2, cells), ``products`` of each two (cells, n (n + 1) / 2), ``ridge`` (n,)."""

    _fields_ = (("_rows", c_void_p), ("_products", c_void_p), ("_ridge", c_void_p), ("lanes", c_int))

    def __init__(self, rows: Numbers, products: Numbers, ridge: Numbers) -> None:
        lanes, axes, cells = rows.shape
        if (
            lanes > MOST_LANES
            or axes != 2
            or products.shape != (cells, lanes * (lanes + 1) // 2)
            or ridge.shape != (lanes,)
        ):
            raise ValueError(f"{rows.shape}, {products.shape} and {ridge.shape} do not go together")
        self._kept = tuple(np.ascontiguousarray(table, np.float64) for table in (rows, products, ridge))
        self.cells = cells
        super().__init__(*(table.ctypes.data for table in self._kept), lanes)


def takes(cells: tuple[int, ...]) -> bool:
    """Whether it fits a flow of so many rows and columns here."""
    return not (native.why_not() or any(side < 2 or side % 2 for side in cells))


def fit(
    field: FlowField, stretch: float, eight: Fields, rest: Fields, how: Numbers
) -> tuple[Numbers, Numbers, Numbers]:
    """The coefficients (n,) of both kinds of fields, and the three numbers told of them; in pixels.

    ``field`` has 2 * rows and 2 * columns; it is in pixels of the flow's input, of which ``stretch`` of the picture's
    make one, down; the fields to fit with are of its 2x2 cells. ``how``: the rounds, those for the rest, the spread to
    begin with, the least, the rest's least, and the pixels that no cells differ by for a reason. Told are the validity,
    the error that half of the cells expect to stay below, and the clarity, as ``motion.py`` has them.
    """
    flow, scale, texture = (np.ascontiguousarray(part, np.float32) for part in (field.flow, field.scale, field.texture))
    shape = scale.shape
    rows, columns = shape[0] // 2, shape[1] // 2
    if (
        not takes(shape)
        or (flow.shape, texture.shape) != ((2, *shape), (3, *shape))
        or not eight.cells == rest.cells == rows * columns
    ):
        raise ValueError(f"a flow of {flow.shape} cannot be fitted with fields of {eight.cells} and {rest.cells} cells")
    how = np.array(how, np.float64).reshape(HOW)
    found = np.empty(eight.lanes + rest.lanes + TOLD)
    parts = [part.ctypes.data for part in (flow, scale, texture)]
    if not _fit()(*parts, rows, columns, stretch, eight, rest, how.ctypes.data, found.ctypes.data):
        raise MemoryError("no memory to fit the motion in")
    coefficients, rests, told = np.split(found, [eight.lanes, eight.lanes + rest.lanes])
    return coefficients, rests, told


@cache
def _fit() -> Any:
    fields = POINTER(Fields)
    arguments = [c_void_p, c_void_p, c_void_p, c_int, c_int, c_double, fields, fields, c_void_p, c_void_p]
    return native.function("fit", arguments, c_int)
