"""Robust global motion from a flow field."""

import both_roads
import numpy as np
import pytest

from flowgimbal.engines.engine import FlowField
from flowgimbal.engines.motion import basis
from flowgimbal.engines.native import fit as compiled
from flowgimbal.server.motion import fit

ROWS, COLUMNS = 44, 80
HALF = COLUMNS * 4 / 2


ASPECT = ROWS / COLUMNS


road = both_roads.both(compiled)


def flow_of(coefficients: np.ndarray, aspect: float = ASPECT) -> np.ndarray:
    """Flow on the network's grid of a picture of ``aspect``."""
    x = (np.arange(COLUMNS) + 0.5) / COLUMNS * 2 - 1
    y = ((np.arange(ROWS) + 0.5) / ROWS * 2 - 1) * aspect
    points = np.stack(np.meshgrid(x, y), -1).astype(np.float32)
    flow = (basis(points) @ coefficients) * HALF * [1, ASPECT / aspect]
    return flow.transpose(2, 0, 1).astype(np.float32)


TRUE = np.array([0.03, -0.02, 0.01, 0.015, 0.001, -0.001, 0.002, -0.001])


def test_a_pure_camera_motion_is_recovered() -> None:
    motion = fit(FlowField(flow_of(TRUE), np.full((ROWS, COLUMNS), 0.3, np.float32)), ASPECT)
    assert motion.coefficients == pytest.approx(TRUE, abs=3e-4)
    assert motion.validity > 0.95
    assert motion.connected


@pytest.mark.parametrize("share", [0.2, 0.45])
def test_a_moving_foreground_does_not_drag_the_picture(share: float) -> None:
    flow = flow_of(TRUE)
    flow[:, :, : int(share * COLUMNS)] += np.array([9.0, -6.0], np.float32)[:, None, None]
    motion = fit(FlowField(flow, np.full((ROWS, COLUMNS), 0.3, np.float32)), ASPECT)
    assert motion.coefficients[:2] * HALF == pytest.approx(TRUE[:2] * HALF, abs=0.25)


def test_unsure_cells_are_not_believed() -> None:
    flow, scale = flow_of(TRUE), np.full((ROWS, COLUMNS), 0.2, np.float32)
    flow[:, 20:] += np.random.default_rng(1).normal(0, 12, flow[:, 20:].shape).astype(np.float32)
    scale[20:] = 12.0
    motion = fit(FlowField(flow, scale), ASPECT)
    assert motion.coefficients[:2] * HALF == pytest.approx(TRUE[:2] * HALF, abs=0.3)


@pytest.mark.parametrize("part", [0.0, 0.4])
def test_where_nothing_counts_all_of_it_is_looked_at(part: float) -> None:
    field = FlowField(flow_of(TRUE), np.full((ROWS, COLUMNS), 0.3, np.float32))
    motion = fit(field, ASPECT, lambda size: np.full(size[::-1], part))
    assert motion.coefficients == pytest.approx(TRUE, abs=3e-4)
    assert motion.connected


def test_a_cut_is_not_a_motion() -> None:
    flow = np.random.default_rng(2).normal(0, 40, (2, ROWS, COLUMNS)).astype(np.float32)
    assert not fit(FlowField(flow, np.full((ROWS, COLUMNS), 60.0, np.float32)), ASPECT).connected


@pytest.mark.parametrize("aspect", [9 / 16, 3 / 4, 2.0])
def test_the_aspect_is_the_picture_s_and_not_the_grid_s(aspect: float) -> None:
    motion = fit(FlowField(flow_of(TRUE, aspect), np.full((ROWS, COLUMNS), 0.3, np.float32)), aspect)
    assert motion.coefficients == pytest.approx(TRUE, abs=1e-3)
