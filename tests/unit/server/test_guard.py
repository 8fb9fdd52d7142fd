from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest

from flowgimbal.engines.engine import EngineError, FlowField, Measurement, all_told
from flowgimbal.engines.picker import IdentityEngine
from flowgimbal.engines.picture import Layout, Picture
from flowgimbal.engines.shapes import COLUMNS, RAW, ROWS, TAPS
from flowgimbal.engines.timeline import BINS
from flowgimbal.server.guard import CALLS, UNSURE, Guard, probe
from flowgimbal.server.settings import Settings
from flowgimbal.server.stabilizer import Stabilizer

SPEED = 3.0  # pixels of the flow's input, a frame
PICTURE = Picture(Layout.GRAY, (np.zeros((180, 320), np.uint8),))


class Panning(IdentityEngine):
    """Sees a camera that pans; fails on the frames, or in the calls of ``warp``, that it is told to fail in."""

    def __init__(self, *, blind: tuple[int, ...] = (), undecided: tuple[int, ...] = ()) -> None:
        super().__init__()
        self._blind, self._undecided = blind, undecided
        self._seen = self._decided = 0

    def measure(self, held: Picture, memory: int | None) -> Measurement:
        self._seen += 1
        if self._seen in self._blind:
            raise EngineError("blind")
        if memory is None:
            return Measurement(None, self._seen, 50.0)
        flow = np.zeros((2, 45, 80), np.float32)
        flow[0] = SPEED * (self._seen - memory)
        return Measurement(FlowField(flow, np.full((45, 80), 0.1, np.float32), all_told(45, 80)), self._seen, 50.0)

    def warp(self, *_: object) -> np.ndarray:
        self._decided += 1
        if self._decided in self._undecided:
            raise EngineError("undecided")
        return np.full((2, ROWS, COLUMNS), self._decided / 100, np.float32)


def decide(guard: Guard) -> float:
    window = np.zeros((TAPS, 2, ROWS, COLUMNS), np.float32)
    return float(guard.warp(window, np.zeros(RAW + BINS, np.float32), np.zeros(4, np.float32))[0, 0, 0])


def path(engine: IdentityEngine, frames: int, patience: int = 30) -> list[float]:
    """How far the camera went since the first frame, as the stabilizer has it after each [half widths]."""
    guard = Guard(engine, patience, lambda _: None)
    stabilizer = Stabilizer(guard, Settings(), *PICTURE.size)
    steps = [stabilizer.measure(guard.hold(PICTURE), number * 33_333_333) for number in range(frames)]
    assert not any(step.restart for step in steps[1:])
    return list(np.cumsum([step.coefficients[0] for step in steps]))


def test_a_frame_that_was_not_measured_leaves_no_gap_in_the_path():
    whole, bridged = path(Panning(), 10), path(Panning(blind=(6,)), 10)
    assert bridged[5] == bridged[4]
    assert np.allclose(np.delete(bridged, 5), np.delete(whole, 5), rtol=1e-3)
    assert abs(whole[9]) > 0.1


def test_a_frame_that_was_not_decided_is_warped_as_the_one_before():
    failed: list[str] = []
    guard = Guard(Panning(undecided=(3, 4)), 30, failed.append)
    assert np.allclose([decide(guard) for _ in range(5)], [0.01, 0.02, 0.02, 0.02, 0.05])
    assert failed == ["warp", "warp"]
    assert decide(Guard(Panning(undecided=(1,)), 30, failed.append)) == 0


def test_patience_is_for_failures_in_a_row():
    guard = Guard(Panning(undecided=(1, 2, 4, 5, 6)), 2, lambda _: None)
    assert np.allclose([decide(guard) for _ in range(5)], [0, 0, 0.03, 0.03, 0.03])
    with pytest.raises(EngineError, match="undecided"):
        decide(guard)
    with pytest.raises(EngineError, match="undecided"):
        decide(Guard(Panning(undecided=(1,)), 0, lambda _: None))


def test_an_engine_that_is_lost_is_not_waited_for():
    engine = Panning(undecided=(1,))
    engine.lost = "the card is gone"
    with pytest.raises(EngineError, match="undecided"):
        decide(Guard(engine, 30, lambda _: None))


def test_a_stream_says_once_that_its_engine_fails(caplog):
    guard = Guard(Panning(undecided=(1, 2, 3), blind=(1,)), 30, lambda _: None)
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            decide(guard)
        guard.measure(guard.hold(PICTURE), None)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("wrong", ["flow", "scale", "texture"])
@pytest.mark.parametrize("how", ["shape", "number"])
def test_a_field_that_is_none_is_not_believed(wrong: str, how: str) -> None:
    class Astray(Panning):
        def measure(self, held: Picture, memory: int | None) -> Measurement:
            found = super().measure(held, memory)
            if found.field is None:
                return found
            part = getattr(found.field, wrong)
            part = part[..., :-1] if how == "shape" else np.where(np.arange(80) == 7, np.float32(np.nan), part)
            return found._replace(field=replace(found.field, **{wrong: part}))

    failed: list[str] = []
    guard = Guard(Astray(), 30, failed.append)
    held = guard.hold(PICTURE)
    assert guard.measure(held, guard.measure(held, None).memory).field is UNSURE
    assert failed == ["measure"]


def test_a_probe_tells_a_sound_engine_from_a_broken_one():
    assert probe(IdentityEngine()) == ""
    for call in CALLS:

        def broken(*_: object, call: str = call) -> None:
            raise EngineError(f"no {call}")

        assert probe(type("Broken", (IdentityEngine,), {call: broken})()) == f"no {call}"
    starved = type("Starved", (IdentityEngine,), {"hold": lambda *_: 1 // 0})
    assert probe(starved()) == "integer division or modulo by zero"
