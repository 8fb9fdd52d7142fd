"""Robust global motion from a flow field."""

import both_roads
import numpy as np
import pytest

from flowgimbal.engines.engine import FlowField, all_told
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


def field_of(flow: np.ndarray, scale: np.ndarray | float = 0.3, texture: np.ndarray | None = None) -> FlowField:
    """With corners everywhere, unless told otherwise."""
    scale = np.broadcast_to(np.float32(scale), (ROWS, COLUMNS))
    return FlowField(flow, scale, all_told(ROWS, COLUMNS) if texture is None else texture)


TRUE = np.array([0.03, -0.02, 0.01, 0.015, 0.001, -0.001, 0.002, -0.001])


def test_a_pure_camera_motion_is_recovered() -> None:
    motion = fit(field_of(flow_of(TRUE)), ASPECT)
    assert motion.coefficients == pytest.approx(TRUE, abs=3e-4)
    assert motion.validity > 0.95
    assert motion.connected


@pytest.mark.parametrize("share", [0.2, 0.45])
def test_a_moving_foreground_does_not_drag_the_picture(share: float) -> None:
    flow = flow_of(TRUE)
    flow[:, :, : int(share * COLUMNS)] += np.array([9.0, -6.0], np.float32)[:, None, None]
    motion = fit(field_of(flow), ASPECT)
    assert motion.coefficients[:2] * HALF == pytest.approx(TRUE[:2] * HALF, abs=0.25)


def test_unsure_cells_are_not_believed() -> None:
    flow, scale = flow_of(TRUE), np.full((ROWS, COLUMNS), 0.2, np.float32)
    flow[:, 20:] += np.random.default_rng(1).normal(0, 12, flow[:, 20:].shape).astype(np.float32)
    scale[20:] = 12.0
    motion = fit(field_of(flow, scale), ASPECT)
    assert motion.coefficients[:2] * HALF == pytest.approx(TRUE[:2] * HALF, abs=0.3)


@pytest.mark.parametrize("degrees", [0, 30, 90])
def test_a_motion_along_edges_is_told_by_the_few_corners(degrees: float) -> None:
    """Nine in ten cells see edges, and along them nothing of the motion: there their flow is a third of it."""
    flow, along = flow_of(TRUE), np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
    across = (np.eye(2) - np.outer(along, along))[[0, 0, 1], [0, 1, 1]]
    seen = np.random.default_rng(3).random((ROWS, COLUMNS)) < 0.1
    seen = np.kron(seen[::2, ::2], np.ones((2, 2), bool))
    flow = np.where(seen, flow, flow - 2 / 3 * along[:, None, None] * np.tensordot(along, flow, 1)).astype(np.float32)
    told = np.where(seen, all_told(ROWS, COLUMNS), across[:, None, None]).astype(np.float32)
    right = fit(field_of(flow, 0.3, told), ASPECT)
    wrong = fit(field_of(flow), ASPECT)
    off = [np.linalg.norm(HALF * (motion.coefficients - TRUE)[:2] @ along) for motion in (right, wrong)]
    assert off[0] < 0.05 < 0.5 < off[1]


@pytest.mark.parametrize("noise", [0.003, 0.03, 0.3])
def test_a_motion_counts_that_explains_the_picture_better_than_none(noise: float) -> None:
    flow = np.random.default_rng(4).normal(0, noise, (2, ROWS // 2, COLUMNS // 2)).repeat(2, 1).repeat(2, 2)
    at_rest, small, larger = (
        fit(field_of((flow + pixels).astype(np.float32)), ASPECT).coefficients[:2] * HALF
        for pixels in (0, 0.1 * noise, 0.05 + 3 * noise)
    )
    assert not at_rest.any()
    assert not small.any()
    assert larger == pytest.approx(np.full(2, 0.05 + 3 * noise), abs=0.01 + 0.1 * noise)


@pytest.mark.parametrize("seed", range(3))
def test_a_camera_is_followed_through_a_crowd(seed: int) -> None:
    """Two thirds of the picture move, each part in its own way."""
    rng = np.random.default_rng(seed)
    ways = rng.normal(0, 6, (2, ROWS // 4, COLUMNS // 4)) * (rng.random((ROWS // 4, COLUMNS // 4)) < 0.67)
    flow = flow_of(TRUE) + ways.repeat(4, 1).repeat(4, 2) + rng.normal(0, 0.05, (2, ROWS, COLUMNS))
    motion = fit(field_of(flow.astype(np.float32)), ASPECT)
    assert motion.connected
    assert motion.coefficients[:2] * HALF == pytest.approx(TRUE[:2] * HALF, abs=0.3)


@pytest.mark.parametrize("corners", [0.04, 0.3])
def test_a_camera_that_moves_along_edges_moves(corners: float) -> None:
    flow = np.random.default_rng(6).normal(0, 0.02, (2, ROWS, COLUMNS)).astype(np.float32)
    flow[0] += 1.0  # of 2 px: guessed, and guessed too small
    texture = np.zeros((3, ROWS, COLUMNS), np.float32)
    texture[2] = 1.0
    seen = np.random.default_rng(7).random((ROWS // 2, COLUMNS // 2)).repeat(2, 0).repeat(2, 1) < corners
    flow[0] += seen
    texture[0] = seen
    motion = fit(field_of(flow, 0.3, texture), ASPECT)
    assert motion.connected
    assert motion.coefficients[:2] * HALF == pytest.approx([2.0, 0.0], abs=0.1)


def test_a_small_thing_that_moves_is_no_motion_of_the_camera() -> None:
    flow = np.random.default_rng(5).normal(0, 0.02, (2, ROWS, COLUMNS)).astype(np.float32)
    flow[:, :, :10] += 0.8
    assert not fit(field_of(flow), ASPECT).coefficients.any()


def test_a_picture_without_texture_shows_no_motion() -> None:
    motion = fit(field_of(flow_of(TRUE), 0.3, np.zeros((3, ROWS, COLUMNS), np.float32)), ASPECT)
    assert not motion.coefficients.any()


@pytest.mark.parametrize("part", [0.0, 0.4])
def test_where_nothing_counts_all_of_it_is_looked_at(part: float) -> None:
    field = field_of(flow_of(TRUE))
    motion = fit(field, ASPECT, lambda size: np.full(size[::-1], part))
    assert motion.coefficients == pytest.approx(TRUE, abs=3e-4)
    assert motion.connected


def test_a_cut_is_not_a_motion() -> None:
    flow = np.random.default_rng(2).normal(0, 40, (2, ROWS, COLUMNS)).astype(np.float32)
    assert not fit(field_of(flow, 60.0), ASPECT).connected


@pytest.mark.parametrize("aspect", [9 / 16, 3 / 4, 2.0])
def test_the_aspect_is_the_picture_s_and_not_the_grid_s(aspect: float) -> None:
    motion = fit(field_of(flow_of(TRUE, aspect)), aspect)
    assert motion.coefficients == pytest.approx(TRUE, abs=1e-3)
