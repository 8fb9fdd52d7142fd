"""The compiled least squares of the flow network: they make of anything what torch makes of it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from both_roads import compiled_alone

torch = pytest.importorskip("torch")

from flowgimbal.engines.native.polish import polish  # noqa: E402
from flowgimbal.engines.networks.polish import FARTHEST, REACH, WINDOW, least_squares, smooth  # noqa: E402
from flowgimbal.engines.shapes import STRIDE  # noqa: E402

pytestmark = compiled_alone


def scene(rng: np.random.Generator, rows: int, columns: int) -> list[np.ndarray]:
    """Two soft pictures, a flow between them that is wrong here and there, and the log of its scale."""
    size = STRIDE * rows, STRIDE * columns
    first = cv2.GaussianBlur(rng.normal(0, 8, size).astype(np.float32), (0, 0), 2)
    second = np.roll(first, (1, 2), (0, 1)) + rng.normal(0, 0.02, size)
    flow = rng.normal([[[2.0]], [[1.0]]], 1.0, (2, rows, columns))
    flow[:, : rows // 4] *= 40  # out of the picture
    scenery = first[None, None], second[None, None], flow[None], rng.normal(0, 3, (1, 1, rows, columns))
    return [part.astype(np.float32) for part in scenery]


@torch.no_grad()
def by_torch(*seen: np.ndarray) -> list[np.ndarray]:
    first, second, flow, log_scale = map(torch.from_numpy, seen)
    weight = torch.exp(-log_scale.clamp(-5.0, 5.0))
    start = smooth(flow, weight)
    step, tell, texture = least_squares(first, second, start)
    better = smooth(start + step, weight)
    again, *_ = least_squares(first, second, better)
    return [part.numpy() for part in (smooth(better + again, weight) - flow, step, tell, texture)]


@pytest.mark.parametrize(("rows", "columns"), [(44, 80), (80, 44), (4, 4), (12, 20)])
@pytest.mark.parametrize("seed", range(3))
def test_makes_what_torch_makes(rows, columns, seed):
    seen = scene(np.random.default_rng(seed), rows, columns)
    change, step, tell, texture = polish(*seen)
    theirs = by_torch(*seen)
    assert change == pytest.approx(theirs[0], abs=2e-3)
    assert step == pytest.approx(theirs[1], abs=2e-3)
    assert np.log(tell) == pytest.approx(theirs[2], abs=2e-3)
    assert texture == pytest.approx(theirs[3], abs=1e-3)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("which", range(4))
def test_numbers_that_are_none_are_felt_near_by_alone(wrong, which):
    seen = scene(np.random.default_rng(0), 44, 80)
    seen[2][:, :, :11] = seen[2][:, :, 11:22]  # nothing leads far away
    right = polish(*seen)
    cells = slice(20, 24)
    place = slice(STRIDE * cells.start, STRIDE * cells.stop) if which < 2 else cells
    seen[which][..., place, place] = wrong
    broken = polish(*seen)
    assert not all(np.array_equal(ours, before) for ours, before in zip(broken, right, strict=True))
    most = 3  # cells that pictures are looked at beside their own place: flow and step lead no farther than 12 pixels
    reach = 2 * (most + WINDOW // 2) + 3 * (REACH // 2)
    near = np.zeros((44, 80), bool)
    near[cells.start - reach : cells.stop + reach, cells.start - reach : cells.stop + reach] = True
    for ours, before in zip(broken, right, strict=True):
        assert np.array_equal(ours[..., ~near], before[..., ~near])
    assert not (np.abs(broken[1]) > FARTHEST).any()


def test_what_does_not_go_together_is_refused():
    seen = scene(np.random.default_rng(0), 12, 20)
    with pytest.raises(ValueError, match="do not go together"):
        polish(seen[0], seen[1][..., :-4], *seen[2:])
    with pytest.raises(ValueError, match="do not go together"):
        polish(*seen[:2], seen[2][:, :, :-1], seen[3])
