"""Means over bins of time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgimbal.engines.timeline import BINS, EDGES, REACH, bin_means


def test_a_line_has_its_middle_as_mean_in_every_bin() -> None:
    times = np.arange(0, REACH + 0.1, 1 / 30)
    means, cover = bin_means(times, 3.0 * times)
    assert np.allclose(means, 1.5 * (EDGES[1:] + EDGES[:-1]))
    assert np.allclose(cover, 1.0)


def test_what_the_path_does_not_reach_is_zero_and_not_covered() -> None:
    times = np.arange(0, 4.5) / 30
    means, cover = bin_means(times, np.ones((5, 2)))
    assert np.allclose(cover[:4], 1.0)
    assert np.allclose(cover[4:], 0.0)
    assert np.allclose(means[:4], 1.0)
    assert np.all(means[4:] == 0.0)


def test_one_sample_is_no_path() -> None:
    means, cover = bin_means(np.zeros(1), np.ones((1, 3)))
    assert means.shape == (BINS, 3)
    assert not means.any()
    assert not cover.any()


def test_what_rounding_leaves_of_a_bin_is_not_covered() -> None:
    times = np.array([0.0, EDGES[1], np.nextafter(EDGES[2], 1.0)])
    means, cover = bin_means(times, np.full(3, 5.0))
    assert np.allclose(cover[:2], 1.0)
    assert not cover[2:].any()
    assert not means[2:].any()


@given(st.lists(st.floats(0.002, 0.4), min_size=1, max_size=40))
def test_irregular_times_do_not_bend_a_line(gaps: list[float]) -> None:
    times = np.concatenate([[0.0], np.cumsum(gaps)])
    means, cover = bin_means(times, 2.0 * times)
    full = cover > 1 - 1e-9
    assert np.allclose(means[full], EDGES[1:][full] + EDGES[:-1][full])
    assert cover.sum() * 0 == pytest.approx(0)
    assert np.all((cover >= 0) & (cover <= 1 + 1e-9))
