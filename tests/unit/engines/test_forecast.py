"""The forecast of the path."""

import numpy as np
import pytest
from numpy.typing import NDArray

from flowgimbal.engines.forecast import FORESEEN, HORIZONS, KEPT, WATCHED, Forecaster, with_skew
from flowgimbal.engines.motion import LANES
from flowgimbal.engines.timeline import BINS, REACH

RATE = 30.0


def bounce(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """A walker's, half widths."""
    return np.asarray(0.03 * np.sin(2 * np.pi * 1.9 * times) + 0.01 * np.sin(2 * np.pi * 3.8 * times + 1))


def follow(times: NDArray[np.float64], path: NDArray[np.float64]) -> Forecaster:
    """A forecaster that saw ``path`` (frames,) in the second lane."""
    forecaster = Forecaster()
    for seconds, step in zip(np.diff(times, prepend=0), np.diff(path, prepend=0), strict=True):
        forecaster.push(seconds, np.eye(LANES)[1] * step)
    return forecaster


def error(seconds: float, times: NDArray[np.float64] | None = None) -> float:
    """Of the forecast of a bounce after so many seconds of it, in parts of what is to come; mean over a second."""
    errors, sizes = [], []
    for end in np.arange(seconds, seconds + 1, 0.1):
        seen = np.arange(0, end, 1 / RATE) if times is None else times[times < end]
        coming = bounce(seen[-1] + HORIZONS) - bounce(seen[-1])
        errors.append(np.square(follow(seen, bounce(seen)).ahead()[:, 1] - coming).mean())
        sizes.append(np.square(coming).mean())
    return float(np.sqrt(np.mean(errors) / np.mean(sizes)))


def test_what_goes_on_and_on_is_learnt() -> None:
    assert error(1.0) > 0.5  # what holds for any camera
    assert error(12.0) < 0.25


def test_irregular_frames_are_learnt_from_as_well() -> None:
    times = np.cumsum(np.random.default_rng(0).uniform(0.2, 1.8, 600) / RATE)
    assert error(12.0, times) < 0.3


def first_error(skew: float, noise: float = 0.0, shift: int = 0) -> float:
    """Of what is forecast for the next frame of a camera that trembles, RMS, half widths, after three seconds.

    ``skew`` is what its shutter makes of a half width a second in the lane that tells of the ``shift``, ``noise`` what
    else that lane does a frame.
    """
    rng = np.random.default_rng(1)
    fine = 20  # moments a frame
    count = 8 * int(RATE) * fine
    frequency = np.fft.rfftfreq(count, 1 / RATE / fine)
    tremble = np.fft.rfft(rng.normal(size=count)) / (1 + (frequency / 4) ** 4)
    path, speed = np.fft.irfft(tremble, count), np.fft.irfft(2j * np.pi * frequency * tremble, count)
    path, speed = (0.02 / path.std() * part[::fine] for part in (path, speed))
    shear = skew * speed + np.cumsum(noise * rng.normal(size=len(path)))
    forecaster, errors = Forecaster(), []
    for step, slant, coming in zip(np.diff(path), np.diff(shear), np.diff(path[1:], append=0), strict=True):
        forecaster.push(1 / RATE, np.eye(LANES)[shift] * step + np.eye(LANES)[(5, 4)[shift]] * slant)
        errors.append(forecaster.ahead()[0, shift] - coming)
    return float(np.sqrt(np.square(errors[90:-1]).mean()))


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("skew", [0.008, -0.008])
def test_a_rolling_shutter_tells_how_fast_the_camera_turns_just_now(skew: float, shift: int) -> None:
    assert first_error(skew, shift=shift) < 0.8 * first_error(0.0, shift=shift)


@pytest.mark.parametrize("noise", [0.002, 0.02])
def test_a_shear_that_tells_nothing_is_not_believed(noise: float) -> None:
    assert first_error(0.0, noise) < 1.03 * first_error(0.0)


def test_a_skew_is_no_more_than_a_part_of_the_shift() -> None:
    bins = np.zeros((WATCHED, BINS))
    bins[0, :3], bins[5, :3], bins[4, :3] = (0.1, 0.2, 0.4), (0.02, -0.3, 0.05), 1.0
    past = with_skew(bins)
    assert np.array_equal(past[:, :BINS], bins[:FORESEEN])
    assert past[0, BINS:] == pytest.approx([0.02, -0.1, 0.05])
    assert not past[1:, BINS:].any()  # nothing moves down, and no shutter tells of zoom and roll


def test_what_stands_still_is_expected_to() -> None:
    times = np.arange(0, 5, 1 / RATE)
    assert not follow(times, np.zeros_like(times)).ahead().any()
    assert Forecaster().ahead().shape == (len(HORIZONS), FORESEEN)


def test_a_lane_tells_nothing_of_another() -> None:
    times = np.arange(0, 5, 1 / RATE)
    ahead = follow(times, bounce(times)).ahead()
    assert ahead[:, 1].any()
    assert not ahead[:, [0, 2, 3]].any()


def test_another_scene_begins_anew() -> None:
    times = np.arange(0, 5, 1 / RATE)
    forecaster, fresh = follow(times, bounce(times)), Forecaster()
    forecaster.restart()
    for step in (0.0, 0.01, 0.02):
        forecaster.push(1 / RATE, np.full(LANES, step))
        fresh.push(1 / RATE, np.full(LANES, step))
    assert np.array_equal(forecaster.ahead(), fresh.ahead())


@pytest.mark.parametrize("rate", [10.0, 30.0, 10_000.0])
def test_memory_is_bounded(rate: float) -> None:
    times = np.arange(600) / rate
    forecaster = follow(times, bounce(times))
    assert len(forecaster._path) <= min(KEPT, REACH * rate + 3)
    assert np.isfinite(forecaster.ahead()).all()


@pytest.mark.parametrize("rate", [10.0, 25.0, 29.97, 30.0, 50.0])
def test_training_sees_the_same(rate: float) -> None:
    torch = pytest.importorskip("torch", reason="needs the train extra")
    from flowgimbal.engines.training.forecasts import foresee

    rng = np.random.default_rng(0)
    steps = rng.normal(0, 0.01, (120, LANES)) + 0.05 * np.sin(np.arange(120) * 4 * np.pi / rate)[:, None]
    steps[0] = 0
    seen = foresee(torch.from_numpy(np.cumsum(steps, 0)).float()[None], rate)[0].numpy()
    forecaster, aheads = Forecaster(), []
    for step in steps:
        forecaster.push(1 / rate, step)
        aheads.append(forecaster.ahead())
    assert seen[..., :FORESEEN] == pytest.approx(np.array(aheads), abs=2e-4 * np.abs(aheads).max())
    assert not seen[..., FORESEEN:].any()
