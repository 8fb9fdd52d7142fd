"""The plan of the course."""

import numpy as np
import pytest
from numpy.typing import NDArray

from flowgimbal.engines.forecast import HORIZONS
from flowgimbal.engines.motion import LANES
from flowgimbal.engines.plan import COARSEST, FINEST, PLANNED, ROUNDED, UNIT, WIDEST, Planner, corners, spacing

Array = NDArray[np.float64]

ASPECT = 9 / 16


def follow(path: Array, rate: float, look_ahead: int, shown: Array | None = None, aspect: float = ASPECT) -> Array:
    """Plans (T, PLANNED) along a raw ``path`` (T, PLANNED), margins; the plan is what is shown unless ``shown`` is."""
    planner, plans = Planner(aspect), np.zeros_like(path)
    seen = plans if shown is None else shown
    for frame, now in enumerate(path):
        times = np.arange(len(path[frame:][: look_ahead + 1])) / rate
        ahead = path[frame:][: look_ahead + 1] - now
        ahead = np.concatenate([ahead, np.repeat(ahead[-1:], len(HORIZONS), 0)])  # a forecast that all stays
        times = np.concatenate([times, times[-1] + HORIZONS])
        behind = seen[:frame][::-1] - now
        moved = now - path[max(frame - 1, 0)]
        plan = planner.plan(1 / rate, moved, (1 + np.arange(frame)) / rate, behind, times, ahead)
        plans[frame] = now + plan if shown is None else plan
    return plans


def shake(path: Array, rate: float) -> float:
    """RMS above 1.5 Hz."""
    spectrum = np.fft.rfft(path[int(rate) :] * np.hanning(len(path) - int(rate))[:, None], axis=0)
    spectrum[np.fft.rfftfreq(len(path) - int(rate), 1 / rate) < 1.5] = 0
    return float(np.sqrt(np.square(np.abs(spectrum)).mean()))


def walk(rate: float, size: float) -> Array:
    times = np.arange(0, 8, 1 / rate)
    bounce = np.sin(2 * np.pi * 2.1 * times) + 0.4 * np.sin(2 * np.pi * 5.3 * times)
    moved = [bounce + 0.8 * times / size, 0.3 * bounce, 0.1 * np.roll(bounce, 3), 0.2 * np.roll(bounce, 5)]
    return size * np.stack(moved, 1)


def outermost(path: Array) -> float:
    """How far any corner is moved."""
    return float(np.abs(path @ corners(ASPECT)[0].T).max())


@pytest.mark.parametrize("rate", [10.0, 24.0, 25.0, 30.0, 60.0])
def test_shake_goes_and_the_picture_stays_within_the_room(rate: float) -> None:
    path = walk(rate, 0.4)
    shown = follow(path, rate, int(rate / 2))
    assert outermost(path) > 1 > WIDEST > outermost(shown - path)
    assert shake(shown, rate) < 0.15 * shake(path, rate)


def test_what_is_short_of_room_is_followed_early() -> None:
    path = np.zeros((90, PLANNED))
    path[45:, :2] = 2.0 * np.clip(np.arange(45) / 6, 0, 1)[:, None]  # beyond the room, in a fifth of a second
    shown = follow(path, 30.0, 15)
    assert shown[44, 0] > 0.45 * (2.0 - WIDEST)  # nearly half of the way that it has to go, before the path moves
    assert outermost(shown - path) < WIDEST + 0.05
    assert np.abs(np.diff(shown[:, 0], 2)).max() < 0.3 * np.abs(np.diff(path[:, 0], 2)).max()


def test_what_rolls_and_shifts_shares_the_room() -> None:
    rolled = walk(30.0, 0.4)
    rolled[:, 3] = 1.2 * np.sin(2 * np.pi * 1.7 * np.arange(len(rolled)) / 30)  # takes all the room by itself
    shown = follow(rolled, 30.0, 15)
    assert outermost(shown - rolled) < WIDEST + 0.1
    assert (np.abs(shown - rolled).max(0)[[0, 3]] > 0.2).all()  # neither gives up for the other


@pytest.mark.parametrize("aspect", [9 / 16, 1.0, 16 / 9])
def test_what_corners_ask_of_one_lane_they_ask_of_no_other(aspect: float) -> None:
    moved, weight = corners(aspect)
    product = moved.T @ moved
    assert product == pytest.approx(np.diag(np.diag(product)))
    assert (weight > 0).all()


def test_what_stands_still_stays() -> None:
    assert not follow(np.zeros((60, PLANNED)), 30.0, 5).any()


def test_another_scene_begins_anew() -> None:
    path, planner = walk(30.0, 0.4), Planner(ASPECT)
    times, none = np.append(0.0, HORIZONS), np.zeros((1 + len(HORIZONS), PLANNED))
    begin = (1 / 30, np.zeros(PLANNED), np.zeros(0), np.zeros((0, PLANNED)), times, none + path[1])
    first = planner.plan(*begin)
    planner.plan(1 / 30, path[1], np.array([1 / 30]), path[:1], times, none)
    planner.restart()
    assert np.array_equal(planner.plan(*begin), first)


def test_moments_are_as_far_apart_as_frames() -> None:
    for seconds in np.linspace(FINEST, COARSEST, 400):
        assert seconds - ROUNDED * UNIT - 1e-9 <= spacing(seconds) * UNIT < seconds + UNIT
    for rate, frames in {24: 1, 25: 1, 30: 1, 45: 1, 50: 2, 60: 2, 75: 2, 90: 3, 120: 4, 240: 8}.items():
        assert {spacing(1 / rate + off) * UNIT for off in (-1e-9, 0, 1e-9)} == {spacing(1 / rate) * UNIT}
        assert spacing(1 / rate) * UNIT == pytest.approx(frames / rate, abs=UNIT)  # some for each moment if it is fast
    assert FINEST / 2 < spacing(1e-6) * UNIT < 2 * FINEST
    assert spacing(9.0) == spacing(COARSEST)


@pytest.mark.parametrize("rate", [10.0, 25.0, 29.97, 30.0, 50.0, 60.0])
@pytest.mark.parametrize("look_ahead", [0, 5, 15])
def test_training_sees_the_same(rate: float, look_ahead: int) -> None:
    torch = pytest.importorskip("torch", reason="needs the train extra")
    from flowgimbal.engines.training.plans import Planners

    rng, aspects = np.random.default_rng(0), (ASPECT, 16 / 9)
    path = np.cumsum(rng.normal(0, 0.2, (90, PLANNED)), 0)
    shown = path + 0.3 * rng.normal(size=path.shape)
    seen = min(90, int(2 * rate))
    raw = torch.zeros(len(aspects), len(path), LANES)
    raw[..., :PLANNED] = torch.from_numpy(path)
    newest = (torch.arange(len(path)) + look_ahead).clamp(max=len(path) - 1)
    held = (raw[:, newest] - raw)[:, :, None].expand(-1, -1, len(HORIZONS), -1)
    planners, plans = Planners(raw, held, rate, look_ahead, torch.tensor(aspects)), []
    past = torch.full((len(aspects), seen, LANES), 9.0)  # what was never shown must not count
    for frame in range(len(path)):
        plans.append(planners.plan(frame, past).numpy())
        now = torch.zeros(len(aspects), 1, LANES)
        now[..., :PLANNED] = torch.from_numpy(shown[frame])
        past = torch.cat([now, past[:, :-1]], 1)
    reach = slice(0, seen)  # later the training's past is shorter
    for own, aspect in zip(np.stack(plans, 1), aspects, strict=True):
        assert own[reach] == pytest.approx(follow(path, rate, look_ahead, shown, aspect)[reach], abs=2e-4)
