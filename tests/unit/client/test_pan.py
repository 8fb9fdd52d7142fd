"""Pans and stillness, on paths whose answer is known."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from flowgimbal.client.steadiness import Comparison, Original, fidelity
from flowgimbal.client.steadiness.motion import nine_points
from flowgimbal.client.steadiness.pan import pan, slow
from flowgimbal.client.steadiness.still import added_motion, added_shake, standing_path

RATE = 30.0


def trapezoid(seconds: float = 8.0, reach: float = 225.0, direction: tuple[float, float] = (1.0, 0.0)) -> np.ndarray:
    """Rest, a pan of 1.5 s, rest, and back: (T, 2), px at a width of 640."""
    times = np.arange(round(seconds * RATE)) / RATE
    along = np.interp(times, [1.5, 3.0, 5.0, 6.5], [0, reach, reach, 0])
    return along[:, None] * np.array(direction)


def later(path: np.ndarray, seconds: float) -> np.ndarray:
    times = np.arange(len(path)) / RATE
    return np.stack([np.interp(times - seconds, times, column) for column in path.T], 1)


def test_a_pan_that_is_followed_exactly():
    found = pan(trapezoid(), trapezoid(), RATE)
    assert found is not None
    assert (found.lag_seconds, found.overshoot) == (0, 0)
    assert found.kept == pytest.approx(1)
    assert found.correlation == pytest.approx(1)


@pytest.mark.parametrize("seconds", [-0.25, 0.1, 0.4])
def test_a_lag_is_no_overshoot(seconds):
    found = pan(trapezoid(), later(trapezoid(), seconds), RATE)
    assert found is not None
    assert found.lag_seconds == pytest.approx(seconds, abs=0.1 / RATE)
    assert found.overshoot < 0.05
    assert found.kept == pytest.approx(1, abs=1e-3)
    assert found.correlation < 1


@pytest.mark.parametrize("direction", [(1.0, 0.0), (0.6, -0.8)])
def test_running_on_at_the_end_is_overshoot(direction):
    times = np.arange(240) / RATE
    bump = 10.0 * np.exp(-(((times - 3.6) / 0.6) ** 2))  # beyond the end of the pan, and back
    found = pan(trapezoid(direction=direction), trapezoid(direction=direction) + bump[:, None] * direction, RATE)
    assert found is not None
    assert found.overshoot == pytest.approx(2 * 10 * 0.85, rel=0.03)  # what is left of it below half a hertz
    assert found.lag_seconds == pytest.approx(0, abs=2 / RATE)


def test_corners_that_are_rounded_off_are_not_overshoot():
    found = pan(trapezoid(), slow(trapezoid(), RATE), RATE)
    assert found is not None
    assert found.overshoot < 0.05
    assert 0.99 < found.kept <= 1
    assert found.lag_seconds == 0


def test_half_the_pan_is_half():
    found = pan(trapezoid(), 0.5 * trapezoid(), RATE)
    assert found is not None
    assert found.kept == pytest.approx(0.5)
    assert found.correlation == pytest.approx(1)


def test_shake_changes_neither():
    phase = 2 * math.pi * 4 * np.arange(240) / RATE
    found = pan(trapezoid() + 8 * np.sin(phase)[:, None], trapezoid(), RATE)
    assert found is not None
    assert found.lag_seconds == pytest.approx(0, abs=0.1 / RATE)
    assert found.overshoot < 0.1
    assert found.kept == pytest.approx(1, abs=5e-3)


def test_shake_alone_is_no_pan():
    phase = 2 * math.pi * 3 * np.arange(240) / RATE
    assert pan(20 * np.sin(phase)[:, None] * [1, 1], np.zeros((240, 2)), RATE) is None


def test_half_of_the_power_is_left_at_half_a_hertz():
    times = np.arange(1200) / RATE
    wave = np.sin(2 * math.pi * 0.5 * times)[:, None]
    assert np.abs(slow(wave, RATE)[300:900]).max() == pytest.approx(math.sqrt(0.5), abs=1e-3)
    line = np.arange(90.0)[:, None]
    np.testing.assert_allclose(slow(line, RATE), line, atol=1e-9)


def test_added_motion_is_what_the_raw_one_has_not():
    phase = 2 * math.pi * np.arange(120) / 12
    swing = np.stack([np.sin(phase), np.zeros(120)], 1)[:, None] * np.ones((120, 9, 1))
    assert added_motion(swing, swing + 7) == pytest.approx(0)
    assert added_motion(np.zeros_like(swing), swing) == pytest.approx(2 * math.sqrt(0.5))
    drift = np.linspace(0, 6, 120)[:, None, None] * np.ones((120, 9, 2))
    assert added_motion(swing, swing + drift) > 3
    assert added_shake(swing, swing + drift, RATE) == pytest.approx(0, abs=1e-4)


def texture(seed: int = 1) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((640, 1200)).astype(np.float32)
    layers = sum(cv2.GaussianBlur(noise, (0, 0), sigma) * sigma for sigma in (2, 4, 8))
    return cv2.normalize(layers, None, 30, 225, cv2.NORM_MINMAX).astype(np.uint8)


def window(picture: np.ndarray, x: float, y: float, zoom: float = 1.0) -> np.ndarray:
    """640x360 of the picture, its content moved by (x, y), zoomed about the window's centre."""
    centred = [[zoom, 0, zoom * (x - 260 - 320) + 320], [0, zoom, zoom * (y - 140 - 180) + 180]]
    return cv2.warpAffine(picture, np.float64(centred), (640, 360), flags=cv2.INTER_CUBIC)


def test_a_standing_camera_is_measured_from_the_first_picture():
    picture = texture()
    shifts = 0.5 * np.sin(np.arange(12))
    path = standing_path(window(picture, x, -2 * x) for x in shifts)
    expected = (shifts - shifts[0])[:, None, None] * [1, -2]
    np.testing.assert_allclose(path, np.broadcast_to(expected, (12, 9, 2)), atol=0.06)
    with pytest.raises(ValueError, match="no picture"):
        standing_path([])


def test_zoom_does_not_lengthen_a_pan():
    picture = texture()
    along = np.interp(np.arange(40), [10, 30], [100, -100])
    comparison = Comparison()
    for x in along:
        comparison.add(window(picture, x, 0), window(picture, x, 0, 1.1))
    report = comparison.report(RATE)
    assert report.pan_kept == pytest.approx(1, abs=0.01)
    assert report.pan_overshoot < 0.5
    assert report.pan_lag_frames == pytest.approx(0, abs=0.2)
    np.testing.assert_allclose(comparison.shown()[:, 0], along - 100, atol=1.0)


def test_an_original_is_measured_once():
    picture = texture()
    raw = [window(picture, 3 * math.sin(i), 0) for i in range(20)]
    original = Original(keep=True)
    reports = []
    for _ in range(2):
        comparison = Comparison(original)
        for frame in raw[:18]:
            comparison.add(frame, frame)
        reports.append(comparison.report(RATE))
    assert len(original.camera.path) == 18
    assert reports[0] == reports[1]
    assert reports[0].gain_db == pytest.approx(0, abs=0.1)


def test_the_middle_of_nine_is_the_centre():
    np.testing.assert_allclose(nine_points(360, 640)[4], [320, 180])
    shift = np.array([[1.2, 0, 40 - 64], [0, 1.2, -36], [0, 0, 1.0]])
    np.testing.assert_allclose(fidelity.moved(shift, 640, 360), [40 / 1.2, 0], atol=1e-9)
