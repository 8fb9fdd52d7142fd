"""The sliding window."""

import numpy as np
import pytest

from flowgimbal.engines.forecast import HORIZONS, KEPT
from flowgimbal.engines.motion import LANES
from flowgimbal.engines.plan import PLANNED, Course
from flowgimbal.engines.shapes import COLUMNS, RAW, ROWS, SHOWN, TAPS
from flowgimbal.engines.timeline import BINS
from flowgimbal.server.window import Point, Step, Window, _planned_lanes


def shift(dx: float, seconds: float = 1 / 30, *, restart: bool = False) -> Step:
    return Step(seconds, np.array([dx, 0, 0, 0, 0, 0, 0, 0.0]), np.zeros((2, ROWS, COLUMNS)), restart)


def run(window: Window, steps: list[Step]) -> None:
    for step in steps:
        window.push(step)
        window.look()
        window.show(np.zeros((2, ROWS, COLUMNS)))


def test_the_first_frame_sees_nothing() -> None:
    window = Window(aspect=0.5, extent=0.9)
    window.push(shift(0.1, restart=True))
    seen, cover, seconds = window.look()
    assert seen.shape == (TAPS, 2, ROWS, COLUMNS)
    assert not seen.any()
    assert not cover.any()
    assert seconds == pytest.approx(1 / 30)


def test_past_future_and_shown_are_relative_to_the_due_frame() -> None:
    window = Window(aspect=0.5, extent=0.9)
    run(window, [shift(0.0, restart=True)] + [shift(0.01)] * 9)
    for _ in range(4):
        window.push(shift(0.01))
    seen, cover, _ = window.look()
    assert seen[0, 0, 0, 0] == pytest.approx(-0.005, abs=1e-6)  # half a frame back
    assert seen[BINS, 0, 0, 0] == pytest.approx(0.005, abs=1e-6)  # half a frame ahead
    assert seen[RAW, 0, 0, 0] == pytest.approx(-0.01, abs=1e-6)  # the last frame shown
    assert cover[BINS : BINS + 3] == pytest.approx(1.0)
    assert not cover[BINS + 3 : RAW].any()


def test_the_future_ends_at_a_cut() -> None:
    window = Window(aspect=0.5, extent=0.9)
    run(window, [shift(0.0, restart=True), shift(0.0)])
    for step in (shift(0.0), shift(0.01), shift(0.5, restart=True), shift(0.5)):
        window.push(step)
    seen, cover, _ = window.look()
    assert cover[BINS] == pytest.approx(1.0)
    assert not cover[BINS + 1 : RAW].any()
    assert np.abs(seen).max() < 0.02


def test_the_forecast_goes_on_from_the_newest_frame() -> None:
    window = Window(aspect=0.5, extent=0.9)
    run(window, [shift(0.0, restart=True)] + [shift(0.01)] * 90)
    for _ in range(4):
        window.push(shift(0.01))
    forecast = window.look()[0][RAW + SHOWN : -1, 0, 0, 0]
    straight = 0.01 * 30 * HORIZONS  # cameras that were recorded come back sooner or later
    assert forecast[0] == pytest.approx(0.03 + straight[0], rel=0.06)
    assert (forecast > 0.03 + 0.6 * straight).all()
    assert (forecast < 0.03 + straight).all()


def test_before_a_cut_the_forecast_is_that_nothing_moves_on() -> None:
    window = Window(aspect=0.5, extent=0.9)
    run(window, [shift(0.0, restart=True)] + [shift(0.01)] * 30)
    for step in (shift(0.01), shift(0.01), shift(0.5, restart=True), shift(0.5)):
        window.push(step)
    assert window.look()[0][RAW + SHOWN : -1, 0] == pytest.approx(0.01)


def test_a_cut_forgets_the_past() -> None:
    window = Window(aspect=0.5, extent=0.9)
    run(window, [shift(0.02)] * 5)
    window.push(shift(0.3, restart=True))
    seen, cover, _ = window.look()
    assert not seen.any()
    assert not cover.any()


def test_motion_is_taken_where_the_steady_picture_looks() -> None:
    window = Window(aspect=1.0, extent=1.0)
    zoom = Step(1 / 30, np.array([0, 0, 0.1, 0, 0, 0, 0, 0.0]), np.zeros((2, ROWS, COLUMNS)))
    window.push(shift(0.0, restart=True))
    window.look()
    window.show(np.full((2, ROWS, COLUMNS), 0.05))
    window.push(zoom)
    seen, _, _ = window.look()
    centre = seen[RAW, :, ROWS // 2, COLUMNS // 2]  # looks at -0.05, where the zoom moves by -0.005
    assert centre == pytest.approx([0.055, 0.055], abs=1e-5)


def test_memory_is_bounded() -> None:
    window = Window(aspect=0.5, extent=0.9)
    run(window, [shift(0.001, 1e-4)] * (KEPT + 50))
    assert len(window._past) == KEPT


def test_a_path_that_began_anew_is_taken_over_from_there() -> None:
    zero, far = np.zeros((2, ROWS, COLUMNS)), np.full((2, ROWS, COLUMNS), 0.5)
    there, gone = np.zeros(LANES), np.full(LANES, 0.5)
    window = Window(aspect=0.5, extent=0.9)
    before = [Point(0.0, there, far, zero), Point(1 / 30, gone, far, far)]
    window.restore([*before, Point(0.0, there, zero, zero), Point(1 / 30, there, zero, zero)], Course())
    window.push(shift(0.0))
    seen, cover, _ = window.look()
    assert np.isfinite(seen).all()
    assert not seen.any()  # what was before the new beginning is not in it
    assert cover[:BINS].sum() == pytest.approx(2)  # bins of a frame each


@pytest.mark.parametrize("aspect", [9 / 16, 1.0, 16 / 9])
def test_what_is_planned_are_the_networks_lanes(aspect: float) -> None:
    torch = pytest.importorskip("torch", reason="needs the train extra")
    from flowgimbal.engines.networks.policies import LanePolicy
    from flowgimbal.engines.networks.warp import WarpNetwork

    field = np.random.default_rng(0).normal(size=(1, 2 * ROWS * COLUMNS))
    lanes, fields = _planned_lanes(aspect)
    expected = WarpNetwork(LanePolicy())._lanes(torch.from_numpy(field)[None].float(), torch.tensor([aspect**2]))
    assert field @ lanes == pytest.approx(expected[0, :, :PLANNED].numpy(), abs=1e-5)
    assert fields @ lanes == pytest.approx(np.eye(PLANNED))


def test_the_plan_is_a_field_of_what_is_planned() -> None:
    window = Window(aspect=0.5, extent=0.9)
    steps = [
        Step(1 / 30, np.array([0, 0, 0, 0.02 * np.sin(i), 0, 0, 0, 0]), np.zeros((2, ROWS, COLUMNS))) for i in range(9)
    ]
    run(window, [shift(0.0, restart=True), *steps])
    window.push(steps[0])
    plan = window.look()[0][-1]
    assert plan[0, 0].max() < -1e-3 or plan[0, 0].min() > 1e-3  # a roll: the upper edge to one side,
    assert plan[0, -1] == pytest.approx(-plan[0, 0], abs=1e-6)  # the lower one to the other


def test_another_crop_begins_another_course() -> None:
    window = Window(aspect=0.5, extent=0.9)
    run(window, [shift(0.0, restart=True)] + [shift(0.01)] * 9)
    assert window.course.spacing
    window.aim(0.8)
    assert not window.course.spacing
