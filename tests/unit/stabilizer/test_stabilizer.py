"""The heart, on rendered pictures and with the committed weights."""

import cv2
import numpy as np
import pytest

from flowgimbal.engines.picker import IdentityEngine, pick
from flowgimbal.engines.picture import Layout, Picture
from flowgimbal.server.crop import Crop
from flowgimbal.server.settings import Settings
from flowgimbal.server.stabilizer import Stabilizer

WIDTH, HEIGHT = 320, 180


def scene(seed: int = 1) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 255, (60, 80), np.uint8)
    return cv2.GaussianBlur(cv2.resize(noise, (640, 480), interpolation=cv2.INTER_CUBIC), (0, 0), 1.5)


def view(picture: np.ndarray, x: float, y: float) -> Picture:
    """What a camera at (x, y) sees: the scene moves by the opposite."""
    matrix = np.array([[1, 0, 160 + x], [0, 1, 150 + y]], np.float64)
    return gray(cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP))


def gray(luma: np.ndarray) -> Picture:
    return Picture(Layout.GRAY, (luma,))


def shown_path(positions: np.ndarray, settings: Settings, rate: float = 30.0) -> np.ndarray:
    """Where the scene's origin stands in the steady picture, in raw pixels, frame by frame."""
    stabilizer = Stabilizer(pick(), settings, WIDTH, HEIGHT)
    picture = scene()
    warps = []
    for i, (x, y) in enumerate(positions):
        warp = stabilizer.decide(stabilizer.measure(view(picture, x, y), int(i / rate * 1e9)))
        warps += [warp] if warp else []
    warps += stabilizer.flush()
    centre = np.array([(WIDTH - 1) / 2, (HEIGHT - 1) / 2, 1])
    moved = [w.transform(WIDTH, HEIGHT) @ centre for w in warps]
    offsets = np.array([m[:2] / m[2] for m in moved]) - centre[:2]
    assert len(offsets) == len(positions)
    return offsets - positions


def shake(path: np.ndarray) -> float:
    smooth = np.stack([np.convolve(p, np.ones(15) / 15, "same") for p in path.T], 1)
    return float(np.sqrt(((path - smooth)[20:-20] ** 2).sum(1).mean()))


def tremble(frames: int = 120, size: float = 3.0) -> np.ndarray:
    time = np.arange(frames) / 30
    return size * np.stack([np.sin(2 * np.pi * 3.1 * time), np.cos(2 * np.pi * 4.3 * time + 1)], 1)


@pytest.mark.parametrize(("look_ahead", "least"), [(0, 6.0), (15, 12.0)])
def test_a_tremble_is_removed(look_ahead: int, least: float) -> None:
    positions = tremble()
    steady = shown_path(positions, Settings(look_ahead=look_ahead))
    gain = 20 * np.log10(shake(-positions) / shake(steady))
    assert gain > least


def test_a_still_picture_stays_still() -> None:
    path = shown_path(np.zeros((40, 2)), Settings())
    assert np.abs(np.diff(path, axis=0)).max() < 0.1


def test_a_pan_is_followed() -> None:
    positions = np.stack([np.arange(90) * 1.5, np.zeros(90)], 1)[:80]
    steady = shown_path(positions, Settings())
    travelled = -(steady[-1] - steady[40])[0] / (positions[-1] - positions[40])[0]
    assert travelled == pytest.approx(1.0, abs=0.12)


def test_a_cut_starts_anew_at_the_middle_within_one_frame() -> None:
    stabilizer = Stabilizer(pick(), Settings(), WIDTH, HEIGHT)
    before, after = scene(1), scene(99)
    for i, (x, y) in enumerate(tremble(40)):
        stabilizer.decide(stabilizer.measure(view(before, x, y), i * 33_000_000))
    assert not stabilizer.measure(view(after, 0, 0), 40 * 33_000_000).restart  # it may be a flash
    step = stabilizer.measure(view(after, 1, 0), 41 * 33_000_000)
    assert step.restart
    warp = stabilizer.decide(step)
    assert warp is not None
    assert warp.mesh[4, 6] == pytest.approx([0.5, 0.5], abs=1e-6)


@pytest.mark.parametrize("flash", [np.full((HEIGHT, WIDTH), 255, np.uint8), np.zeros((HEIGHT, WIDTH), np.uint8)])
def test_a_flash_is_bridged(flash: np.ndarray) -> None:
    stabilizer = Stabilizer(pick(), Settings(), WIDTH, HEIGHT)
    picture = scene(1)
    positions = tremble(44)
    steps = []
    for i, (x, y) in enumerate(positions):
        seen = gray(flash) if i == 40 else view(picture, x, y)
        steps.append(stabilizer.measure(seen, i * 33_000_000))
    assert not any(step.restart for step in steps[1:])
    bridged = sum(step.coefficients[:2] for step in steps[40:42]) * WIDTH / 2
    assert bridged == pytest.approx(-(positions[41] - positions[39]), abs=0.3)


@pytest.mark.parametrize("settings", [Settings(strength=0.0), Settings(max_crop_ratio=0.0)])
def test_without_strength_or_room_nothing_is_touched(settings: Settings) -> None:
    stabilizer = Stabilizer(pick("identity"), settings, WIDTH, HEIGHT)
    warp = stabilizer.decide(stabilizer.measure(view(scene(), 0, 0), 0))
    assert warp is not None
    assert warp.identity


@pytest.mark.parametrize("look_ahead", [0, 1, 60])
def test_every_frame_gets_one_warp(look_ahead: int) -> None:
    stabilizer = Stabilizer(IdentityEngine(), Settings(look_ahead=look_ahead), WIDTH, HEIGHT)
    now = [stabilizer.decide(stabilizer.measure(view(scene(), 0, 0), i * 33_000_000)) for i in range(20)]
    assert sum(w is None for w in now) == min(look_ahead, 20)
    assert sum(w is not None for w in now) + len(list(stabilizer.flush())) == 20


@pytest.mark.parametrize("times", [[0, 0, 0, 0], [5, 4, 3, 2], [0, 10**12, 2 * 10**12, 3 * 10**12]])
def test_useless_times_are_survived(times: list[int]) -> None:
    stabilizer = Stabilizer(pick(), Settings(crop=Crop.DYNAMIC), WIDTH, HEIGHT)
    for time_ns in times:
        warp = stabilizer.decide(stabilizer.measure(view(scene(), 0, 0), time_ns))
        assert warp is not None
        assert np.isfinite(warp.mesh).all()
