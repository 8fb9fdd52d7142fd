"""The compiled road of the fit: it finds what the other one finds, and believes no motion that is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from both_roads import compiled_alone
from hypothesis import given, settings
from hypothesis import strategies as st

from flowgimbal.engines.engine import FlowField
from flowgimbal.engines.motion import basis
from flowgimbal.engines.native import fit as compiled
from flowgimbal.server.motion import GlobalMotion, fit

pytestmark = compiled_alone


def both(field: FlowField, aspect: float) -> tuple[GlobalMotion, GlobalMotion]:
    """What the compiled road finds, and the other one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "takes", lambda cells: False)
        slowly = fit(field, aspect)
    return fit(field, aspect), slowly


def scene(
    rng: np.random.Generator, rows: int, columns: int, noise: float, share: float, size: float = 1.0
) -> FlowField:
    """A camera's motion, seen with noise, and things of another one over a part of the picture."""
    x, y = np.meshgrid(np.linspace(-1, 1, columns), np.linspace(-1, 1, rows))
    motion = size * rng.normal(0, [0.05, 0.05, 0.01, 0.01, 0.002, 0.002, 0.002, 0.002])
    flow = (basis(np.stack([x, y], -1).astype(np.float32)) @ motion).transpose(2, 0, 1) * columns * 2
    flow += rng.normal(0, noise, flow.shape)
    flow[:, :, : round(share * columns)] += rng.normal(0, 8, (2, 1, 1))
    scale = rng.gamma(2.0, 0.2, (rows, columns))
    edges = rng.normal(0, 1, (2, rows, columns)) * (rng.random((rows, columns)) < 0.7)
    texture = np.stack([edges[0] ** 2, edges[0] * edges[1], edges[1] ** 2]) / (0.3 + (edges**2).sum(0))
    return FlowField(flow.astype(np.float32), scale.astype(np.float32), texture.astype(np.float32))


@settings(max_examples=100, deadline=None)
@given(
    half=st.tuples(st.integers(2, 40), st.integers(2, 40)),
    noise=st.floats(0, 3),
    share=st.floats(0, 0.8),
    size=st.sampled_from([0.0, 0.01, 0.1, 1.0]),
    seed=st.integers(0, 999),
)
def test_finds_what_numpy_finds(half, noise, share, size, seed):
    field = scene(np.random.default_rng(seed), 2 * half[0], 2 * half[1], noise, share, size)
    ours, theirs = both(field, half[0] / half[1])
    assert ours.coefficients == pytest.approx(theirs.coefficients, abs=1e-4)
    assert ours.rest == pytest.approx(theirs.rest, abs=1e-6)
    assert ours.validity == pytest.approx(theirs.validity, abs=1e-4)
    assert ours.error == pytest.approx(theirs.error, rel=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_the_usual_grid_to_a_thousandth_of_a_pixel(seed):
    ours, theirs = both(scene(np.random.default_rng(seed), 44, 80, 0.3, 0.3), 9 / 16)
    assert 160 * np.abs(ours.coefficients - theirs.coefficients).max() < 1e-3
    assert 160 * np.abs(ours.rest - theirs.rest).max() < 1e-5


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("part", [0.01, 0.5, 1.0])
def test_numbers_that_are_none_come_of_no_motion_that_is_believed(wrong, part):
    rng = np.random.default_rng(0)
    field = scene(rng, 44, 80, 0.3, 0.0)
    for name in ("flow", "scale", "texture"):
        numbers = getattr(field, name)
        broken = np.where(rng.random(numbers.shape) < part, np.float32(wrong), numbers)
        motion = fit(replace(field, **{name: broken}), 9 / 16)
        endless = name == "scale" and np.isinf(wrong)  # cells that are not sure at all: the others tell
        if motion.connected:
            assert wrong == 3e38 or endless
            assert np.isfinite([*motion.coefficients, *motion.rest]).all()


def test_what_does_not_go_together_is_refused():
    field = scene(np.random.default_rng(0), 44, 80, 0.3, 0.0)
    with pytest.raises(ValueError, match="cannot be fitted"):
        fit(replace(field, texture=field.texture[:2]), 9 / 16)


def test_a_grid_that_has_no_halves_goes_the_other_road():
    assert compiled.takes((44, 80))
    assert not compiled.takes((43, 80))
    assert not compiled.takes((44, 81))
    assert not compiled.takes((0, 80))
