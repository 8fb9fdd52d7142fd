"""Parts of the picture that stay put, as a display that was burnt into it before it came."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flowgimbal.engines.picture import Picture, Plane

FEATHER = 8
"""Pixels around a region over which it goes over into the steady picture."""


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle. Unit: pixels, from the picture's top left corner; it may reach beyond the picture."""

    x: int
    y: int
    width: int
    height: int


def pin(raw: Picture, steady: Picture, regions: Sequence[Region]) -> Picture:
    """``steady`` with the regions as they are in ``raw``, a picture of the same size and layout."""
    planes = []
    for index, (source, target) in enumerate(zip(raw.planes, steady.planes, strict=True)):
        blended = target if target.flags.writeable else target.copy()
        for region in regions:
            _blend(source, blended, region, *steady.factors(index))
        planes.append(blended)
    return Picture(steady.layout, tuple(planes), steady.chroma)


@functools.lru_cache(maxsize=64)
def unpinned(regions: tuple[Region, ...], size: tuple[int, int], grid: tuple[int, int]) -> NDArray[np.float64]:
    """The part (rows, columns) of each cell of a ``grid`` (columns, rows) over a picture that lies in no region."""
    free = np.ones((size[1], size[0]), np.float32)
    for region in regions:
        free[region.y : region.y + region.height, region.x : region.x + region.width] = 0
    cells = cv2.resize(free, grid, interpolation=cv2.INTER_AREA).astype(np.float64)
    cells.flags.writeable = False
    return cells


def _blend(source: Plane, target: Plane, region: Region, fx: int, fy: int) -> None:
    """Write the region of ``source`` into ``target``, softly over the pixels around it."""
    height, width = target.shape[:2]
    across = _ramp(region.x // fx, math.ceil((region.x + region.width) / fx), FEATHER // fx, width)
    down = _ramp(region.y // fy, math.ceil((region.y + region.height) / fy), FEATHER // fy, height)
    if across is None or down is None:
        return
    rows, columns = slice(down[0], down[0] + len(down[1])), slice(across[0], across[0] + len(across[1]))
    weight = np.outer(down[1], across[1]).astype(np.float32)
    if target.ndim == 3:
        weight = weight[..., None]
    part = target[rows, columns].astype(np.float32)
    part += (source[rows, columns] - part) * weight
    target[rows, columns] = np.rint(part)


def _ramp(start: int, stop: int, feather: int, length: int) -> tuple[int, NDArray[np.float64]] | None:
    """Where the weights of an interval begin, and the weights: one inside, falling outside; None: nothing is left."""
    if start >= length:
        return None
    first, last = max(0, start - feather), min(length, stop + feather)
    at = np.arange(first, last)
    outside = np.maximum(np.maximum(start - at, at - (stop - 1)), 0)
    return first, 1 - outside / (feather + 1)
