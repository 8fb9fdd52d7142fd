"""Times that are believed, and times that are not."""

import numpy as np
import pytest

from flowgimbal.engines.timeline import REACH
from flowgimbal.server.metronome import KEPT, MANY, RECENT, Metronome
from flowgimbal.server.window import NOMINAL


def heard(times: np.ndarray) -> np.ndarray:
    """Seconds between frames of these times, seconds, but for the first."""
    metronome = Metronome()
    return np.array([metronome.since(round(time * 1e9)) for time in times])[1:]


@pytest.mark.parametrize("rate", [10.0, 23.976, 29.97, 30.0, 50.0, 60.0, 120.0])
def test_even_times_are_believed(rate: float) -> None:
    times = np.arange(60) / rate
    assert heard(times) == pytest.approx(1 / rate)
    assert heard(np.delete(times, [20, 31, 32])) == pytest.approx(np.diff(np.delete(times, [20, 31, 32])))


def test_times_in_milliseconds_are_even() -> None:
    times = np.delete(np.round(np.arange(60) / 30, 3), [20, 31, 32])
    assert heard(times) == pytest.approx(np.diff(times))


def test_a_camera_that_takes_longer_in_the_dark_is_followed() -> None:
    intervals = np.repeat([1 / 30, 1 / 24, 1 / 15], 60)
    seconds = heard(np.append(0, np.cumsum(intervals)))
    assert seconds.sum() == pytest.approx(intervals.sum(), rel=0.1)
    assert seconds[55:60].tolist() + seconds[-25:].tolist() == pytest.approx([1 / 30] * 5 + [1 / 15] * 25)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kept", [0.5, 0.65, 0.9])
def test_frames_that_were_dropped_are_told_from_late_ones(kept: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    taken = np.flatnonzero(rng.random(400) < kept) / 30
    seconds, true = heard(taken + rng.normal(0, 0.0005, len(taken))), np.diff(taken)
    assert seconds.sum() == pytest.approx(true.sum(), rel=0.02)
    assert (np.abs(seconds / true - 1) > 0.25).mean() < 0.02


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("apart", [0.0, 0.001])
def test_frames_that_come_in_bursts_came_evenly(count: int, apart: float) -> None:
    frames = np.arange(240)
    seconds = heard(frames // count * count / 30 + frames % count * apart)[RECENT:]
    assert seconds == pytest.approx(1 / 30, rel=0.1)


@pytest.mark.parametrize("seed", range(5))
def test_frames_that_are_stamped_late_came_in_time(seed: int) -> None:
    late = np.random.default_rng(seed).exponential(0.012, 200)
    times = np.maximum.accumulate(np.arange(200) / 30 + late)
    seconds = heard(times)[RECENT:]
    assert np.ptp(np.diff(times)) > 2 / 30  # they are said to come next to nothing and more than two beats apart
    assert seconds == pytest.approx(1 / 30, rel=0.2)
    assert seconds[KEPT - RECENT :] == pytest.approx(1 / 30, rel=0.08)
    assert np.abs(np.diff(seconds)).max() < 0.125 / 30


def test_hiccups_do_not_move_what_is_usual() -> None:
    rng = np.random.default_rng(3)
    intervals = 1 / 30 + rng.uniform(-0.004, 0.004, 150)
    intervals[[9, 10, 60]] += 0.075, 0.03, 0.05  # not made up for
    assert heard(np.append(0, np.cumsum(intervals)))[RECENT // 4 :] == pytest.approx(1 / 30, rel=0.1)


def test_a_ragged_start_is_over_soon() -> None:
    # As two recorded clips begin: now and then two frames bear one time, and the next ones come late.
    intervals = np.array([0.1, 1e-5, 0.0333, 0.1, 2e-5, 0.0333, 0.0333, 0.0417, 0.025] + [1 / 30] * 30)
    assert heard(np.append(0, np.cumsum(intervals)))[5:] == pytest.approx(1 / 30, rel=0.02)


def test_what_comes_much_later_was_not_just_stamped_late() -> None:
    times = np.arange(60) / 30 + np.random.default_rng(0).uniform(-0.01, 0.01, 60)
    times[40:] += (MANY + 2) / 30
    seconds = heard(times)
    assert seconds[39] == pytest.approx(times[40] - times[39])
    assert np.delete(seconds, 39)[10:] == pytest.approx(1 / 30, rel=0.15)


def test_gaps_are_told() -> None:
    assert heard(np.array([0, 1 / 30, 2 / 30, REACH + 1]))[-1] > REACH


@pytest.mark.parametrize("broken", [[0, 0, 0, 0], [9, 8, 7, 6]])
def test_times_that_say_nothing_are_taken_for_usual_ones(broken: list[float]) -> None:
    assert heard(np.array(broken)) == pytest.approx(NOMINAL)


def test_a_time_that_goes_back_is_one_beat() -> None:
    assert heard(np.array([0, 0.04, 0.08, 0.07, 0.11])) == pytest.approx(0.04)


def test_the_first_late_frame_is_not_taken_for_the_rule() -> None:
    assert heard(np.array([0, 0.185, 0.218, 0.251, 0.284]))[1:] == pytest.approx(0.033)
