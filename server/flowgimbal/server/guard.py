"""An engine that fails: what a stream does without its answer for a while, and whether it works for anybody."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flowgimbal.engines.engine import Engine, EngineError, FlowField, Held, Measurement, Memory, all_told
from flowgimbal.engines.picture import Layout, Picture
from flowgimbal.engines.shapes import COLUMNS, RAW, ROWS, TAPS
from flowgimbal.engines.timeline import BINS

logger = logging.getLogger(__name__)

PATIENCE = 30
"""Failures in a row that a live stream passes over: a second of it."""
CALLS = ("hold", "measure", "warp", "sample")
UNSURE = FlowField(np.zeros((2, 2, 2), np.float32), np.full((2, 2), 1e3, np.float32), all_told(2, 2))
"""What was not measured: it expects the error of a cut, so that the next frame is measured from the one before."""

Offsets = NDArray[np.float32]


class _Kept(NamedTuple):
    picture: Picture
    held: Held  # None: the engine did not take it


class Guard:
    """One stream's view of the engine, an ``Engine`` itself. Every answer is looked at before it is believed.

    Where the engine fails, raising or by an answer that is none, the motion is taken as not measured, the warp as that
    of the frame before, and ``sample`` returns the very picture that was held. The call that has failed more than
    ``patience`` times in a row raises. Each method is called from one thread at a time.
    """

    def __init__(self, engine: Engine, patience: int, failed: Callable[[str], None]) -> None:
        """``failed`` hears of each failure, by its name in CALLS."""
        self._engine = engine
        self._patience = patience
        self._failed = failed
        self._in_a_row: Counter[str] = Counter()
        self._told = False
        self._offsets: Offsets = np.zeros((2, ROWS, COLUMNS), np.float32)

    @property
    def name(self) -> str:
        """The engine's."""
        return self._engine.name

    @property
    def on_cores(self) -> bool:
        """The engine's."""
        return self._engine.on_cores

    @property
    def lost(self) -> str:
        """The engine's."""
        return self._engine.lost

    def warm_up(self) -> None:
        """The server sees to it."""

    def close(self) -> None:
        """The server sees to it."""

    def hold(self, picture: Picture) -> _Kept:
        """See ``Engine.hold``."""
        with self._tolerated("hold"):
            return _Kept(picture, self._engine.hold(picture))
        return _Kept(picture, None)

    def measure(self, held: _Kept, memory: Memory | None) -> Measurement:
        """See ``Engine.measure``; UNSURE and the same memory if it fails."""
        if held.held is not None:
            with self._tolerated("measure"):
                return _checked_measurement(self._engine.measure(held.held, memory))
        return Measurement(UNSURE, memory, math.inf)

    def warp(self, window: NDArray[np.float32], cover: NDArray[np.float32], conditions: NDArray[np.float32]) -> Offsets:
        """See ``Engine.warp``; the last answer if it fails."""
        with self._tolerated("warp"):
            self._offsets = _checked_offsets(self._engine.warp(window, cover, conditions))
        return self._offsets

    def sample(self, held: _Kept, mesh: NDArray[np.float32]) -> Picture:
        """See ``Engine.sample``; the picture itself if it fails."""
        if held.held is not None:
            with self._tolerated("sample"):
                return _checked_picture(self._engine.sample(held.held, mesh), held.picture)
        return held.picture

    @contextmanager
    def _tolerated(self, call: str) -> Iterator[None]:
        try:
            yield
        except Exception:  # whatever an engine's libraries throw
            self._in_a_row[call] += 1
            self._failed(call)
            if self._in_a_row[call] > self._patience or self._engine.lost:
                raise
            if not self._told:
                self._told = True
                logger.exception("the engine failed (%s): the stream goes on without; said once a stream", call)
        else:
            self._in_a_row[call] = 0


def probe(engine: Engine) -> str:
    """Why the engine works for nobody; empty if it can do a small picture from end to end."""
    still = Picture(Layout.GRAY, (np.zeros((176, 320), np.uint8),))
    taps, lattice = np.zeros(TAPS, np.float32), np.zeros((TAPS, 2, ROWS, COLUMNS), np.float32)
    guard = Guard(engine, 0, lambda _: None)
    try:
        held = guard.hold(still)
        guard.measure(held, guard.measure(held, None).memory)
        guard.warp(lattice, taps[: RAW + BINS], taps[:4])
        guard.sample(held, np.zeros((2, 2, 2), np.float32))
    except Exception as error:  # noqa: BLE001 - whatever an engine's libraries throw
        return str(error) or type(error).__name__
    return ""


def _checked_measurement(found: Measurement) -> Measurement:
    field = found.field
    if field is not None and not (
        field.scale.ndim == 2
        and field.flow.shape == (2, *field.scale.shape)
        and field.texture.shape == (3, *field.scale.shape)
        and all(np.isfinite(part).all() for part in (field.flow, field.scale, field.texture))
    ):
        raise EngineError("what it measured is no motion")
    return found


def _checked_offsets(found: Offsets) -> Offsets:
    if found.shape != (2, ROWS, COLUMNS) or not np.isfinite(found).all():
        raise EngineError("what it decided is no warp")
    return found


def _checked_picture(found: Picture, given: Picture) -> Picture:
    shapes, wanted = ([plane.shape for plane in picture.planes] for picture in (found, given))
    if found.layout is not given.layout or shapes != wanted:
        raise EngineError(f"it gave back {found.layout.value} {shapes} for {given.layout.value} {wanted}")
    return found
