"""The measure, on motion that is known."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from flowgimbal.client.steadiness import compare, fidelity
from flowgimbal.client.steadiness.bands import accel, butterworth, high_pass, shake
from flowgimbal.client.steadiness.motion import Camera, between

RATE = 30.0


def scene(seed: int = 1) -> np.ndarray:
    """Blobs of every size, 900x640: texture that can be tracked."""
    noise = np.random.default_rng(seed).standard_normal((640, 900)).astype(np.float32)
    layers = sum(cv2.GaussianBlur(noise, (0, 0), sigma) * sigma for sigma in (2, 4, 8))
    return cv2.normalize(layers, None, 30, 225, cv2.NORM_MINMAX).astype(np.uint8)


def views(shifts: np.ndarray) -> list[np.ndarray]:
    """The scene through a 640x360 window whose content moves by ``shifts`` (T, 2) [px]."""
    picture = scene()
    matrices = (np.float64([[1, 0, x - 130], [0, 1, y - 140]]) for x, y in shifts)
    return [cv2.warpAffine(picture, matrix, (640, 360), flags=cv2.INTER_CUBIC) for matrix in matrices]


def wave(hertz: float, size: float, count: int = 90) -> np.ndarray:
    phase = 2 * math.pi * hertz * np.arange(count) / RATE
    return np.stack([size * np.sin(phase), np.zeros(count)], 1)


def test_the_filter_is_butterworths():
    scipy_signal = pytest.importorskip("scipy.signal")
    path = np.random.default_rng(0).standard_normal((200, 9, 2)).cumsum(0)
    sections = scipy_signal.butter(4, 1.0, "highpass", fs=RATE, output="sos")
    expected = scipy_signal.sosfiltfilt(sections, path, axis=0, padtype="odd", padlen=90)
    np.testing.assert_allclose(high_pass(path, RATE, 1.0), expected, atol=1e-9)


def test_half_the_power_is_left_at_the_edge_and_none_at_rest():
    z = np.exp(2j * math.pi * 1.0 / RATE)
    response = math.prod(abs(g * (1 - 1 / z) ** 2 / (1 + a1 / z + a2 / z**2)) for g, a1, a2 in butterworth(RATE, 1.0))
    assert response == pytest.approx(math.sqrt(0.5), abs=1e-9)
    assert np.abs(high_pass(np.full((60, 2), 7.0), RATE, 1.0)).max() < 1e-9


def test_shake_counts_what_is_fast_in_pixels_of_1280():
    fast, slow = wave(5.0, 10.0, 300)[:, None], wave(0.1, 50.0, 300)[:, None]
    assert shake(fast, RATE) == pytest.approx(2 * 10 / math.sqrt(2), rel=0.01)
    assert shake(slow, RATE) < 0.05
    assert accel(fast) == pytest.approx(shake(fast, RATE) * (2 * math.sin(math.pi * 5 / RATE)) ** 2, rel=0.02)


def test_a_known_shift_is_measured():
    before, after = views(np.array([[0.0, 0.0], [7.25, -3.5]]))
    matrix, residual = between(before, after)
    np.testing.assert_allclose(matrix, [[1, 0, 7.25], [0, 1, -3.5], [0, 0, 1]], atol=0.05)
    assert residual < 0.1


def test_a_cut_is_no_motion():
    camera = Camera()
    for picture in (scene(1)[:360, :640], scene(2)[:360, :640]):
        camera.add(picture)
    assert np.abs(camera.path[-1]).max() < 0.5 * 640


def test_gain_of_a_path_halved_ten_times():
    raw, steady = wave(3.0, 12.0), wave(3.0, 1.2)
    report = compare(iter(views(raw)), iter(views(steady)), RATE)
    assert report.frames == 90
    assert report.gain_db == pytest.approx(20, abs=0.5)
    assert report.shake_in == pytest.approx(2 * 12 / math.sqrt(2), rel=0.05)
    assert report.black == 0
    assert 0.95 < report.fov < 1
    assert report.distortion > 0.98


def test_field_of_view_and_distortion_of_a_known_warp():
    stretch = np.array([[1.25, 0, -80], [0, 1.25, -45], [0, 0, 1.0]])
    assert fidelity.field_of_view(stretch, 640, 360) == pytest.approx(0.8)
    assert fidelity.distortion(stretch) == pytest.approx(1)
    assert fidelity.distortion(np.diag([1.2, 1.0, 1.0])) == pytest.approx(1 / 1.2)
    picture = scene()[:360, :640]
    found = fidelity.alignment(picture, cv2.warpPerspective(picture, stretch, (640, 360)))
    np.testing.assert_allclose(found, stretch, atol=0.5)
    assert fidelity.alignment(np.zeros((360, 640), np.uint8), picture) is None


def test_an_untouched_picture_is_seen_whole():
    random = np.random.default_rng(0)
    pixels = np.array([[1e-3, 1e-3, 1], [1e-3, 1e-3, 1], [1e-6, 1e-6, 0]])
    for size in (0.0, 1e-7, 1e-5, 1e-3):
        nearly = (np.eye(3) + random.normal(0, size, (3, 3)) * pixels for _ in range(300))
        assert min(fidelity.field_of_view(matrix, 640, 360) for matrix in nearly) > 0.99


def test_a_picture_of_something_else_shows_nothing():
    away = np.array([[1, 0, 700], [0, 1, 0], [0, 0, 1.0]])
    assert fidelity.field_of_view(away, 640, 360) == 0
    corner = np.array([[1, 0, 320], [0, 1, -180], [0, 0, 1.0]])
    assert fidelity.field_of_view(corner, 640, 360) == pytest.approx(0.5)


def test_black_counts_what_touches_the_border():
    picture = np.full((100, 200), 90, np.uint8)
    picture[40:60, 90:110] = 0
    assert fidelity.black(picture) == 0
    picture[:, :10] = 1
    assert fidelity.black(picture) == pytest.approx(10 / 200)


def test_likeness_is_psnr():
    picture = np.full((100, 100), 100, np.uint8)
    assert fidelity.likeness(picture, picture + 1) == pytest.approx(20 * math.log10(255), abs=1e-3)


def test_too_few_frames_are_refused():
    picture = scene()[:360, :640]
    with pytest.raises(ValueError, match="only 3 frames"):
        compare([picture] * 3, [picture] * 9, RATE)
