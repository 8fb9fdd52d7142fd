"""The heart: measure, remember, decide, limit, warp. Knows no gRPC and no codec.

engine = pick()
stabilizer = Stabilizer(engine, Settings(look_ahead=0), width, height)
for picture, time_ns in frames:
    warp = stabilizer.decide(stabilizer.measure(engine.hold(picture), time_ns))
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence

import numpy as np

from flowgimbal.engines.engine import Engine, Held, Memory
from flowgimbal.engines.shapes import COLUMNS, ROWS
from flowgimbal.engines.timeline import REACH
from flowgimbal.server.crop import Cropper
from flowgimbal.server.metronome import Metronome
from flowgimbal.server.motion import fit, spread_rest
from flowgimbal.server.pins import unpinned
from flowgimbal.server.resume import Trace
from flowgimbal.server.settings import Settings
from flowgimbal.server.warp import Warp
from flowgimbal.server.window import NOMINAL, Step, Window

BLANK = 1.0  # grey levels RMS; a picture of less contrast tells nothing of where it is


class Stabilizer:
    """One picture size of one stream. ``measure`` and ``decide`` may run in two threads, each in frame order."""

    def __init__(self, engine: Engine, settings: Settings, width: int, height: int, path: Sequence[Trace] = ()) -> None:
        """``path`` is one that another stabilizer began: this one goes on from there."""
        self._engine = engine
        self._settings = settings
        self._size = width, height
        self._aspect = height / width
        self._look_ahead = settings.look_ahead
        self._memory: Memory | None = None
        self._doubted = False  # whether nothing connected the frame before to those before it
        self._metronome = Metronome()
        self._extent = settings.extent
        self._window = Window(aspect=self._aspect, extent=self._extent)
        self._cropper = Cropper(settings.crop, settings.max_crop_ratio)
        self._resumed = bool(path)
        if path:
            for trace in path:
                self._metronome.since(trace.time_ns)
            self._window.restore((trace.point for trace in path), path[-1].course)
            self._cropper.restore(path[-1].room, path[-1].extent)

    def trace(self, time_ns: int) -> Trace:
        """Of the frame whose warp was decided last, taken at ``time_ns``; for a stabilizer that goes on from there."""
        return Trace(time_ns, self._window.newest, self._window.course, *self._cropper.state)

    def tune(self, settings: Settings) -> None:
        """Other settings for the frames that are measured from now on."""
        self._settings = settings

    def measure(self, held: Held, time_ns: int) -> Step:
        """The motion since the frame before, of a picture that the engine holds. Raises EngineError."""
        seconds = self._metronome.since(time_ns)
        gap = seconds > REACH
        seconds = NOMINAL if gap else seconds
        settings = self._settings
        if not settings.active:
            self._memory = None
            return _still(seconds, settings)
        field, memory, contrast = self._engine.measure(held, self._memory)
        seen = functools.partial(unpinned, settings.pins, self._size) if settings.pins else None
        motion = None if field is None or gap else fit(field, self._aspect, seen)
        connected = motion is not None and motion.connected and contrast > BLANK
        if motion is not None and connected:
            self._memory, self._doubted = memory, False
            return Step(seconds, motion.coefficients, spread_rest(motion.rest, settings.extent), settings=settings)
        if motion is not None and not self._doubted:
            # A flash or the first frame of another scene: the next frame tells, measured from the frame before.
            self._doubted = True
            return _still(seconds, settings)
        # Nobody knows how the picture moved since the path ended; the picture does not jump if it did not at all.
        resumed, self._resumed = self._resumed and self._memory is None and not gap, False
        self._memory, self._doubted = memory, False
        return _still(seconds, settings, restart=not resumed)

    def decide(self, step: Step) -> Warp | None:
        """Take in one motion; return the warp of the frame ``look_ahead`` back, None while there is none."""
        self._window.push(step)
        self._look_ahead = step.settings.look_ahead
        return self._next() if len(self._window) > self._look_ahead else None

    def overdue(self) -> Iterator[Warp]:
        """The warps of frames that a look-ahead which became smaller lets go as well; call after ``decide``."""
        while len(self._window) > self._look_ahead:
            yield self._next()

    def flush(self) -> Iterator[Warp]:
        """The warps of the frames that still wait, oldest first."""
        while len(self._window):
            yield self._next()

    def _next(self) -> Warp:
        settings = self._window.due.settings
        if settings.extent != self._extent:
            self._extent = settings.extent
            self._window.aim(self._extent)
        window, cover, seconds = self._window.look()
        self._cropper.tune(settings.crop, settings.max_crop_ratio)
        if not settings.active:
            self._window.show(np.zeros((2, ROWS, COLUMNS)))
            self._cropper.whole()
            return Warp.still()
        margin = settings.max_crop_ratio
        conditions = [settings.strength, math.log(30 * seconds), math.log(10 * margin), math.log(self._aspect)]
        offset = self._engine.warp(window / np.float32(margin), cover, np.array(conditions, np.float32))
        allowed, extent = self._cropper.limit(offset.astype(np.float64) * margin, seconds)
        self._window.show(allowed)
        return Warp.from_offset(allowed, extent)


def _still(seconds: float, settings: Settings, *, restart: bool = False) -> Step:
    return Step(seconds, np.zeros(8), np.zeros((2, ROWS, COLUMNS)), restart, settings)
