"""The compiled road to what a level of the flow network sees (``networks/blocks.py``, ``Refiner``)."""

from __future__ import annotations

from ctypes import c_float, c_int, c_void_p
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowgimbal.engines import native
from flowgimbal.engines.shapes import BLOCK, Level

TOGETHER = 4  # channels that are summed up at a time, as in compare.c

Tensor = NDArray[np.float32]


def compare(
    first: Tensor, second: Tensor, level: Level, sharpness: float, before: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor]:
    """What a level's convolutions look at, (1, lanes, rows, columns), and flow and best match, (1, 2, rows, columns).

    Lanes are the cost volume, the keys with the second ones moved where the level wants them, what is hidden, flow,
    best match, and as many of nought as make the number a multiple of BLOCK.

    ``first`` and ``second`` are the keys to match, (1, channels, rows, columns); ``before`` is what the level before
    said: flow in that level's cells (1, 2, rows / 2, columns / 2) and hidden state (1, n, rows / 2, columns / 2).
    """
    _, channels, rows, columns = first.shape
    flow, hidden = before or (None, None)
    hiddens = 0 if hidden is None else hidden.shape[1]
    used = (2 * level.radius + 1) ** 2 + 2 * channels * level.context + hiddens + 4
    lanes = used + -used % BLOCK
    if first.shape != second.shape or len(first) != 1 or channels % TOGETHER:
        raise ValueError(f"maps of {first.shape} and {second.shape} cannot be compared")
    shapes = (1, 2, rows // 2, columns // 2), (1, hiddens, rows // 2, columns // 2)
    if before and (tuple(each.shape for each in before) != shapes or rows % 2 or columns % 2):
        raise ValueError(f"{before[0].shape} and {before[1].shape} are not of the level before {first.shape}")
    inputs = [
        each if each is None else np.ascontiguousarray(each, np.float32) for each in (first, second, flow, hidden)
    ]
    at_first, at_second, at_flow, at_hidden = (each if each is None else each.ctypes.data for each in inputs)
    seen, guess = (np.empty((1, count, rows, columns), np.float32) for count in (lanes, 2))
    if not _compare()(
        *(at_first, at_second, channels, rows, columns, level.radius, sharpness),
        *(at_flow, at_hidden, hiddens, level.context, seen.ctypes.data, lanes, guess.ctypes.data),
    ):
        raise MemoryError("no memory to compare pictures in")
    return seen, guess


@cache
def _compare() -> Any:
    keys = [c_void_p, c_void_p, c_int, c_int, c_int, c_int, c_float]
    return native.function("compare", [*keys, c_void_p, c_void_p, c_int, c_int, c_void_p, c_int, c_void_p], c_int)
