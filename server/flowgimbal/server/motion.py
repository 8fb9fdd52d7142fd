"""From a flow field to smooth motion: the paper's principal-component inpainting, made robust and light.

Yu & Ramamoorthi (CVPR 2020, section 3.2) fit flow components to the valid pixels by ridge regression and take the fit
where flow is invalid. Here the components are the eight fields of a homography and, for what those leave (rolling
shutter, depth), components that were learned from data; validity is a weight (the network's own sureness times how
well a cell agrees with the fit), found by iteratively reweighted least squares. For the eight, a cell counts along each
direction for as much as its texture tells of a motion there: along an edge for nothing (the aperture problem).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from flowgimbal.engines import components
from flowgimbal.engines.engine import FlowField
from flowgimbal.engines.motion import LANES, basis
from flowgimbal.engines.native import fit as native
from flowgimbal.engines.shapes import COLUMNS, COMPONENTS, ROWS, STRIDE

# How far each coefficient may be expected to go in one frame, in half widths: shifts are free.
EXPECTED = np.array([1.0, 1.0, 0.05, 0.05, 0.01, 0.01, 0.01, 0.01], np.float64)
# Weight of that expectation, in cells with an error of one pixel that tell all, where cells agree to TIGHTEST; the more
# the less they agree: at first it keeps turning and zooming from making one motion of two.
RIDGE = 0.2
REST_RIDGE = 2.0  # the same of the rest, which is not to follow what moves by itself
ROUNDS = 6
LOOSEST = 5.0  # pixels; what turning and zooming may add to the shift at first
LOST = 10.0  # pixels of expected error that tell a cut: within a scene it stays below 7, across a cut above 16
ALONE = 0.05  # validity below which no motion explains the picture
LOOSE_REST = 0.5  # pixels; what depth and rolling shutter may leave and still be the camera's
REST_ROUNDS = 2
UNSEEN = 1e-4  # weight of a cell that does not count (in fit.c, too)
BESIDE = 0.15  # pixels beside a cell's scale, so that no cell is surer than all others together (in fit.c, too)
TIGHTEST = 0.25  # pixels; below it every cell agrees
NEAR = 0.02  # pixels that no two cells differ by for a reason
STILL, MOVING = 1.5, 2.25  # clarity of the motion of a camera that rests, at most, and of one that surely moves

HOW = np.array([ROUNDS, REST_ROUNDS, LOOSEST, TIGHTEST, LOOSE_REST, NEAR])  # in the order of fit.c

Cells = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class GlobalMotion:
    """``coefficients`` float64 (8,) in half widths, see ``flowgimbal.engines.motion``.

    ``validity`` in [0, 1] is how much of the sure picture agrees, ``error`` the error that the flow's own meter expects
    of a typical cell, in pixels of its input. ``rest`` float64 (COMPONENTS,) are the coefficients, in half widths, of
    the learned components of what the eight leave unexplained.
    """

    coefficients: NDArray[np.float64]
    rest: NDArray[np.float64]
    validity: float
    error: float

    @property
    def connected(self) -> bool:
        """Whether both frames show the same scene."""
        told = self.error < LOST and self.validity > ALONE
        return told and bool(np.isfinite(self.coefficients).all() and np.isfinite(self.rest).all())


def fit(field: FlowField, aspect: float, seen: Callable[[tuple[int, int]], Cells] | None = None) -> GlobalMotion:
    """The global motion that most of the sure cells agree on; ``aspect`` is height / width of the picture.

    ``seen`` gives, for a grid of (columns, rows), the part of each cell (rows, columns) that counts, in [0, 1].

    The flow's input is the picture at another aspect (its sides are multiples of 16); the motion is the picture's.
    """
    height, width = field.scale.shape
    small = (max(1, width // 2), max(1, height // 2))
    eight, rest = _fields(small, aspect), _rest_fields(small)
    stretch = aspect * width / height
    if seen is None and native.takes(field.scale.shape):
        coefficients, rests, told = native.fit(field, stretch, eight.table, rest.table, HOW)
        found = _Found(coefficients, rests, *told.tolist())
    else:
        found = _fit(field, stretch, eight, rest, seen)
    # 0 where no motion explains the picture nearly as well. Without it the noise of a still picture would add up to a
    # drift, and to steady that drift would move what stands still.
    moving = min(max((found.clarity - STILL) / (MOVING - STILL), 0.0), 1.0) / (width * STRIDE / 2)
    return GlobalMotion(moving * found.coefficients, moving * found.rest, found.validity, found.error)


def spread_rest(rest: NDArray[np.float64], extent: float) -> NDArray[np.float64]:
    """The components' field on the lattice over the middle ``extent``: float64 (2, ROWS, COLUMNS) in half widths."""
    field: NDArray[np.float64] = np.tensordot(rest, _lattice(extent), 1)
    return field


class _Found(NamedTuple):
    """What is found, in pixels of the flow's input."""

    coefficients: NDArray[np.float64]
    rest: NDArray[np.float64]
    validity: float
    error: float  # that half of the cells expect to stay below
    clarity: float  # how many times farther from what the agreeing cells tell no motion is than this one


def _fit(
    field: FlowField, stretch: float, eight: _Fields, rest: _Fields, seen: Callable[[tuple[int, int]], Cells] | None
) -> _Found:
    """As ``native/fit.c``, step by step, and for pictures of which parts do not count."""
    height, width = field.scale.shape
    small = (max(1, width // 2), max(1, height // 2))
    fine = 1.0 / (field.scale + np.float32(BESIDE))
    weighted = cv2.resize((field.flow * fine).transpose(1, 2, 0), small, interpolation=cv2.INTER_AREA)
    sure = np.asarray(cv2.resize(fine, small, interpolation=cv2.INTER_AREA))
    flow = weighted / sure[..., None] * np.array([1.0, stretch], np.float32)  # sureness-weighted mean of 2x2 cells

    texture = cv2.resize((field.texture * fine).transpose(1, 2, 0), small, interpolation=cv2.INTER_AREA)
    told = np.ascontiguousarray((texture / sure[..., None]).reshape(-1, 3).T, np.float64)

    target = np.ascontiguousarray(flow.reshape(-1, 2).T, np.float64)
    prior = sure.reshape(-1).astype(np.float64)
    if seen is not None:
        prior *= np.maximum(seen(small), UNSEEN).reshape(-1)
    prior /= prior.max()
    products, projected = eight.products(told), eight.project(_told(target, told))
    # Begin at the shift that most of the picture shares: least squares would begin between two motions and stay there.
    coefficients = np.zeros(LANES)
    coefficients[:2] = [_weighted_median(axis, prior) for axis in target]
    spread = LOOSEST
    for _ in range(ROUNDS):
        left = target - eight.spread(coefficients)
        error = np.sqrt(_squares(left))
        weight = prior / (1.0 + (error / spread) ** 2) ** 2  # Geman-McClure
        coefficients = eight.solve(products, projected, weight, spread / TIGHTEST)
        if spread > TIGHTEST:
            spread = max(TIGHTEST, min(spread / 2, 2.0 * _weighted_median(error, weight)))
    asked = prior * np.maximum(told[0] + told[2], UNSEEN)
    agree = np.exp(-0.5 * _squares(_told(left, told)) / max(1.0, 2 * spread) ** 2)
    expected = (field.scale if seen is None else _where(field.scale, seen((width, height)))).ravel()
    return _Found(
        coefficients,
        _fit_rest(left, prior, max(LOOSE_REST, 2 * spread), rest),
        validity=float((agree * asked).sum() / asked.sum()),
        error=float(np.partition(expected, (expected.size - 1) // 2)[(expected.size - 1) // 2]),
        clarity=_apart(target, told, weight) / _apart(left, told, weight),
    )


def _apart(motion: NDArray[np.float64], told: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    """How much of a motion (2, cells) the cells tell, RMS pixels, and NEAR."""
    return float(np.sqrt((weight * _squares(_told(motion, told))).sum() / weight.sum() + NEAR**2))


def _told(motion: NDArray[np.float64], told: NDArray[np.float64]) -> NDArray[np.float64]:
    """What of a motion (2, cells) each cell tells, ``told`` (3, cells) as of ``FlowField.texture``."""
    xx, xy, yy = told
    return np.stack([xx * motion[0] + xy * motion[1], xy * motion[0] + yy * motion[1]])


def _fit_rest(
    left: NDArray[np.float64], prior: NDArray[np.float64], spread: float, fields: _Fields
) -> NDArray[np.float64]:
    """Coefficients, in pixels, of the learned components in what is ``left`` (2, cells)."""
    products, projected = fields.products(), fields.project(left)
    rest = np.zeros(COMPONENTS)
    for _ in range(REST_ROUNDS):
        weight = prior / (1.0 + _squares(left - fields.spread(rest)) / spread**2) ** 2
        rest = fields.solve(products, projected, weight, 1.0)
    return rest


class _Fields:
    """Fields of motion (cells, 2, n) that a flow is fitted with; motion itself is (2, cells), long rows for numpy.

    ``ridge`` (n,) is how little of each is expected, in cells with an error of one pixel. The products that weighted
    least squares sums up are there for each cell: a round is then two small products of matrices with the weights.
    """

    def __init__(self, fields: NDArray[np.float64], ridge: NDArray[np.float64]) -> None:
        lanes = fields.shape[2]
        self._rows = np.ascontiguousarray(fields.transpose(2, 1, 0))
        self._x, self._y = self._rows.transpose(1, 0, 2)
        self._ridge = np.diag(ridge)
        lower = np.tril_indices(lanes)
        one, other = (fields[:, :, lane] for lane in lower)  # (cells, 2, pairs)
        self._parts = np.stack(  # of the products, by the parts of what is told
            [one[:, 0] * other[:, 0], one[:, 0] * other[:, 1] + one[:, 1] * other[:, 0], one[:, 1] * other[:, 1]]
        )
        self._products: NDArray[np.float64] = self._parts[0] + self._parts[2]
        self._whole = np.zeros((lanes, lanes), np.intp)  # where in them the products of two lanes are
        self._whole[lower] = np.arange(len(lower[0]))
        self._whole += np.tril(self._whole, -1).T
        self.table = native.Fields(self._rows, self._products, ridge)

    def products(self, told: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """Of each two fields in each cell, (cells, pairs), as far as it tells of them: ``told`` (3, cells), or all."""
        if told is None:
            return self._products
        products: NDArray[np.float64] = np.einsum("pc,pck->ck", told, self._parts)
        return products

    def spread(self, coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
        """The motion (2, cells) that they are the coefficients of."""
        return np.asarray((coefficients @ self._rows.reshape(len(coefficients), -1)).reshape(2, -1))

    def project(self, motion: NDArray[np.float64]) -> NDArray[np.float64]:
        """Each cell's part (n, cells) in the right side of the normal equations."""
        return np.asarray(motion[0] * self._x + motion[1] * self._y)

    def solve(
        self,
        products: NDArray[np.float64],
        projected: NDArray[np.float64],
        weight: NDArray[np.float64],
        stiffness: float,
    ) -> NDArray[np.float64]:
        """The coefficients (n,) with which the fields explain a motion best, under each cell's ``weight`` and
        ``stiffness`` times the ridge.
        """
        sums = (weight @ products)[self._whole]
        return np.asarray(np.linalg.solve(sums + stiffness * self._ridge, projected @ weight))


@functools.lru_cache(maxsize=64)
def _rest_fields(size: tuple[int, int]) -> _Fields:
    """The learned components at the cells' centres."""
    columns, rows = size
    fields, spreads = components.load()
    there = components.sample(
        fields, (np.arange(columns) + 0.5) / columns * 2 - 1, (np.arange(rows) + 0.5) / rows * 2 - 1
    )
    at_cells = there.transpose(2, 3, 1, 0).reshape(-1, 2, COMPONENTS)
    return _Fields(at_cells, REST_RIDGE / (spreads * columns * STRIDE) ** 2)


@functools.lru_cache(maxsize=64)
def _lattice(extent: float) -> NDArray[np.float64]:
    fields, _ = components.load()
    return components.sample(fields, np.linspace(-extent, extent, COLUMNS), np.linspace(-extent, extent, ROWS))


@functools.lru_cache(maxsize=64)
def _fields(size: tuple[int, int], aspect: float) -> _Fields:
    """The eight fields at the cells' centres."""
    columns, rows = size
    x = (np.arange(columns) + 0.5) / columns * 2 - 1
    y = ((np.arange(rows) + 0.5) / rows * 2 - 1) * aspect
    points = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2).astype(np.float32)
    return _Fields(basis(points).astype(np.float64), RIDGE / (EXPECTED * columns * STRIDE) ** 2)


def _squares(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared lengths of ``vectors`` (2, n)."""
    return np.asarray(vectors[0] ** 2 + vectors[1] ** 2)


def _where(values: Cells, seen: Cells) -> Cells:
    """The values of cells that count for more than half; all if there are none."""
    chosen = values[seen > 0.5]
    return chosen if chosen.size else values


def _weighted_median(values: NDArray[np.float64], weight: NDArray[np.float64]) -> float:
    order = np.argsort(values)
    total = np.cumsum(weight[order])
    return float(values[order[np.searchsorted(total, total[-1] / 2)]])
