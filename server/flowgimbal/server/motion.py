"""From a flow field to smooth motion: the paper's principal-component inpainting, made robust and light.

Yu & Ramamoorthi (CVPR 2020, section 3.2) fit flow components to the valid pixels by ridge regression and take the fit
where flow is invalid. Here the components are the eight fields of global motion, validity is a weight (the network's
own sureness times how well a cell agrees with the fit), found by iteratively reweighted least squares.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from flowgimbal.engines.engine import FlowField
from flowgimbal.engines.motion import LANES, basis
from flowgimbal.engines.shapes import STRIDE

Array = NDArray[np.float32]

# How far each coefficient may be expected to go in one frame, in half widths: shifts are free.
EXPECTED = np.array([1.0, 1.0, 0.05, 0.05, 0.01, 0.01, 0.01, 0.01], np.float64)
RIDGE = 2.0  # weight of that expectation, in cells with an error of one pixel
ROUNDS = 6
LOOSEST = 5.0  # pixels; what turning and zooming may add to the shift at first
LOST = 16.0  # pixels of expected error that tell a cut: within a scene it stays below 11, across a cut above 28
ALONE = 0.05  # validity below which no motion explains the picture
TIGHTEST = 0.25  # pixels; below it every cell agrees


@dataclass(frozen=True, slots=True)
class GlobalMotion:
    """``coefficients`` float64 (8,) in half widths, see ``flowgimbal.engines.motion``.

    ``validity`` in [0, 1] is how much of the sure picture agrees, ``error`` the error that the flow's own meter expects
    of a typical cell, in pixels of its input.
    ``rest`` is what they leave unexplained, float32 (2, h, w) in half widths on the flow's grid, halved, and
    ``weight`` (h, w) in [0, 1] says where it holds.
    """

    coefficients: NDArray[np.float64]
    rest: Array
    weight: Array
    validity: float
    error: float

    @property
    def connected(self) -> bool:
        """Whether both frames show the same scene."""
        return self.error < LOST and self.validity > ALONE


def fit(field: FlowField) -> GlobalMotion:
    """The global motion that most of the sure cells agree on."""
    height, width = field.scale.shape
    small = (max(1, width // 2), max(1, height // 2))
    half_width = width * STRIDE / 2
    fine = 1.0 / (field.scale + 0.15)
    weighted = cv2.resize((field.flow * fine).transpose(1, 2, 0), small, interpolation=cv2.INTER_AREA)
    sure = np.asarray(cv2.resize(fine, small, interpolation=cv2.INTER_AREA))
    flow = weighted / sure[..., None]  # sureness-weighted mean of 2x2 cells
    design = _design(small, height / width)

    target = flow.reshape(-1).astype(np.float64)
    prior = sure.reshape(-1).astype(np.float64)
    prior /= prior.max()
    ridge = np.diag(RIDGE / (EXPECTED * half_width) ** 2)
    # Begin at the shift that most of the picture shares: least squares would begin between two motions and stay there.
    coefficients = np.zeros(LANES)
    coefficients[:2] = [_weighted_median(target[i::2], prior) for i in (0, 1)]
    spread = LOOSEST
    for _ in range(ROUNDS):
        left = (target - design @ coefficients).reshape(-1, 2)
        error = np.sqrt((left * left).sum(1))
        weight = prior / (1.0 + (error / spread) ** 2) ** 2  # Geman-McClure
        weighted_design = design * np.repeat(weight, 2)[:, None]
        coefficients = np.linalg.solve(weighted_design.T @ design + ridge, weighted_design.T @ target)
        spread = max(TIGHTEST, min(spread / 2, 2.0 * _weighted_median(error, weight)))
    agree = np.exp(-0.5 * (error / max(1.0, 2 * spread)) ** 2)
    rest = left.reshape(*small[::-1], 2).transpose(2, 0, 1) / half_width
    return GlobalMotion(
        coefficients=coefficients / half_width,
        rest=rest.astype(np.float32),
        weight=weight.reshape(small[::-1]).astype(np.float32),
        validity=float((agree * prior).sum() / prior.sum()),
        error=float(np.median(field.scale)),
    )


@functools.lru_cache(maxsize=64)
def _design(size: tuple[int, int], aspect: float) -> NDArray[np.float64]:
    """The eight fields at the cells' centres, (cells x 2, 8)."""
    columns, rows = size
    x = (np.arange(columns) + 0.5) / columns * 2 - 1
    y = ((np.arange(rows) + 0.5) / rows * 2 - 1) * aspect
    points = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2).astype(np.float32)
    return basis(points).astype(np.float64).reshape(-1, LANES)


def _weighted_median(values: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    order = np.argsort(values)
    total = np.cumsum(weight[order])
    return float(values[order[np.searchsorted(total, total[-1] / 2)]])
