"""The compiled road of sampling: it shows what cv2 shows, and reads and writes nothing but its planes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from both_roads import compiled_alone
from hypothesis import given, settings
from hypothesis import strategies as st

from flowgimbal.engines.native import sampling
from flowgimbal.engines.sampling import hat_matrix


def looked_up(plane: np.ndarray, places: np.ndarray, span: tuple[float, float]) -> np.ndarray:
    """What cv2 finds there."""
    sides = zip(plane.shape, span, places.shape[:2], strict=True)
    down, across = (hat_matrix(side, length, count) for side, length, count in sides)
    x, y = (np.float32(down @ places[..., lane] @ across.T) for lane in (0, 1))
    return cv2.remap(plane, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def seen(plane: np.ndarray, places: np.ndarray, span: tuple[float, float]) -> np.ndarray:
    """What the compiled road makes of it, the bytes around its output held against change."""
    around = np.full((plane.shape[0] + 2, plane.shape[1]), 99, np.uint8)
    sampling.sample(plane, places.astype(np.float32), span, around[1:-1])
    assert (around[[0, -1]] == 99).all()
    return around[1:-1]


@compiled_alone
@settings(max_examples=200, deadline=None)
@given(
    width=st.integers(16, 200),
    height=st.integers(2, 90),
    vertices=st.tuples(st.integers(2, 9), st.integers(2, 13)),
    scale=st.floats(0.2, 3.0),
    turn=st.floats(-3.2, 3.2),
    bend=st.floats(0, 0.2),
    odd=st.booleans(),
    seed=st.integers(0, 99),
)
def test_shows_what_cv2_shows(width, height, vertices, scale, turn, bend, odd, seed):
    # Enlarged, made smaller, turned round, bent, and beyond the edges.
    rng = np.random.default_rng(seed)
    plane = cv2.GaussianBlur(rng.integers(0, 256, (height, width), np.uint8), (0, 0), 2)
    v, u = np.meshgrid(*(np.linspace(-0.5, 0.5, count) for count in vertices), indexing="ij")
    c, s = scale * np.cos(turn), scale * np.sin(turn)
    wanted = np.stack([c * u * width - s * v * height, s * u * width + c * v * height], -1)
    wanted += rng.normal(0, bend * height, wanted.shape)
    wanted += [width / 2 - 0.5, height / 2 - 0.5]
    span = (height - 0.5 * odd, width - 0.5 * odd)  # chroma of a picture of odd size
    difference = np.abs(seen(plane, wanted, span).astype(int) - looked_up(plane, wanted, span))
    assert difference.max() <= 2  # cv2 knows 32 places between two samples
    assert difference.mean() < 0.3


@compiled_alone
def test_a_shift_by_whole_samples_is_exact_and_half_a_sample_is_the_mean():
    plane = np.random.default_rng(0).integers(0, 256, (40, 70), np.uint8)
    y, x = np.meshgrid([-0.5, 39.5], [-0.5, 69.5], indexing="ij")
    assert np.array_equal(seen(plane, np.stack([x, y], -1), (40, 70)), plane)
    moved = seen(plane, np.stack([x + 3, y - 2], -1), (40, 70))
    assert np.array_equal(moved[2:, :-3], plane[:-2, 3:])
    between = seen(plane, np.stack([x + 0.5, y], -1), (40, 70))[:, :-1].astype(float)
    assert np.abs(between - (plane[:, :-1].astype(float) + plane[:, 1:]) / 2).max() <= 0.5


@compiled_alone
@pytest.mark.parametrize("far", [np.nan, np.inf, -np.inf, 3e38, -3e38, 40_000.0, -40_000.0, 16_383.9])
def test_places_that_are_none_read_nothing_else(far):
    plane = np.full((20, 64), 7, np.uint8)
    rng = np.random.default_rng(0)
    for _ in range(50):
        places = rng.uniform(0, 20, (4, 5, 2))
        places[rng.random(places.shape) < 0.3] = far
        assert (seen(plane, places, (20, 64)) == 7).all()


@compiled_alone
def test_rows_may_be_padded_and_the_padding_is_not_seen():
    padded = np.full((30, 80), 200, np.uint8)
    padded[:, :50] = 10
    y, x = np.meshgrid([-5.0, 35.0], [-5.0, 60.0], indexing="ij")
    assert (seen(padded[:, :50], np.stack([x, y], -1), (30, 50)) == 10).all()


@compiled_alone
def test_takes_planes_of_bytes_of_a_size_that_it_knows():
    assert sampling.takes(np.zeros((2, 16), np.uint8))
    assert sampling.takes(np.zeros((30, 99), np.uint8)[:, :40])
    for shape in ((1, 16), (2, 15), (2, 16_385), (40, 40, 2)):
        assert not sampling.takes(np.zeros(shape, np.uint8))
    assert not sampling.takes(np.zeros((40, 80), np.uint8)[:, ::2])


@compiled_alone
def test_a_span_beyond_the_plane_writes_nothing_beyond_it():
    places = np.zeros((3, 4, 2))
    assert (seen(np.full((20, 40), 7, np.uint8), places, (40, 80)) == 7).all()


@compiled_alone
def test_a_mesh_that_zigzags_through_a_tall_plane_shows_what_cv2_shows():
    plane = np.random.default_rng(0).integers(0, 256, (9000, 64), np.uint8)
    plane = cv2.GaussianBlur(plane, (0, 0), 3)
    places = np.zeros((2, 5, 2))
    places[..., 0], places[..., 1] = np.linspace(0, 63, 5), [0, 8999, 0, 8999, 0]
    difference = np.abs(seen(plane, places, (9000, 64)).astype(int) - looked_up(plane, places, (9000, 64)))
    assert difference.max() <= 2
