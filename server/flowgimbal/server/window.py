"""The sliding window: motion around the frame that is due, its forecast, the path that the viewer saw, and the plan.

Positions are of the lattice's points, normalised: X by the half width, Y by the half height of the picture. A point's
raw position moves with the camera; its shown position is the raw one plus the offset that the warp gave it.
"""

from __future__ import annotations

import functools
import itertools
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from flowgimbal.engines.forecast import FORESEEN, HORIZONS, KEPT, Forecaster
from flowgimbal.engines.motion import LANES, basis, lattice
from flowgimbal.engines.plan import PLANNED, Course, Planner
from flowgimbal.engines.shapes import COLUMNS, RAW, ROWS, SHOWN, TAPS
from flowgimbal.engines.timeline import BINS, REACH, bin_means
from flowgimbal.server.settings import LEAST_CROP, Settings

Points = NDArray[np.float64]

NOMINAL = 1 / 30  # seconds between frames whose times say nothing


@dataclass(frozen=True, slots=True)
class Step:
    """Motion from the frame before: eight coefficients and the dense rest (2, ROWS, COLUMNS), in half widths."""

    seconds: float
    coefficients: NDArray[np.float64]
    rest: NDArray[np.float64]
    restart: bool = False  # nothing connects this frame to the one before
    settings: Settings = field(default_factory=Settings)  # in force for this frame


@dataclass(frozen=True, slots=True)
class Point:
    """What a frame added to the path: how far its raw points moved, and the offset that they were given.

    ``moved`` and ``offset`` are (2, ROWS, COLUMNS), normalised; ``seconds`` since the frame before, ``coefficients``
    (LANES,) the motion of all since then, in half widths.
    """

    seconds: float
    coefficients: NDArray[np.float64]
    moved: Points
    offset: Points


@dataclass(frozen=True, slots=True)
class _Past:
    time: float
    coefficients: NDArray[np.float64]  # of the step to here
    raw: Points  # (2, ROWS, COLUMNS)
    shown: Points


class Window:
    """Bounded memory of one stream; ``look`` then ``show``, frame after frame."""

    def __init__(self, *, aspect: float, extent: float) -> None:
        """``aspect`` is height / width, ``extent`` the part of the picture's sides that stays visible."""
        self._aspect = aspect
        self._lanes, self._fields = _planned_lanes(aspect)
        self.aim(extent)
        self._unit = np.array([1.0, aspect])[:, None, None]
        self._past: deque[_Past] = deque(maxlen=KEPT)
        self._waiting: deque[Step] = deque()
        self._forecaster = Forecaster()
        self._now: tuple[float, NDArray[np.float64], Points] | None = None

    def __len__(self) -> int:
        """Frames that wait."""
        return len(self._waiting)

    @property
    def due(self) -> Step:
        """The oldest frame that waits."""
        return self._waiting[0]

    def aim(self, extent: float) -> None:
        """Another part of the picture's sides stays visible: look there from now on."""
        self._points = lattice(ROWS, COLUMNS, self._aspect, extent=extent).astype(np.float64)
        self._margin = max(1.0 - extent, LEAST_CROP)
        self._planner = Planner(self._aspect)  # a course is in margins

    def restore(self, points: Iterable[Point], course: Course) -> None:
        """Take over another window's path, oldest point first, and its course; a point without time begins it anew."""
        self._planner = Planner(self._aspect, course)
        time, raw = 0.0, np.zeros((2, ROWS, COLUMNS))
        for point in points:
            if not point.seconds:
                self._past.clear()
                self._forecaster.restart()
            self._forecaster.push(point.seconds, point.coefficients)
            time, raw = time + point.seconds, raw + point.moved
            self._past.append(_Past(time, point.coefficients, raw, raw + point.offset))

    @property
    def newest(self) -> Point:
        """Of the frame that was shown last."""
        last = self._past[-1]
        before = self._past[-2] if len(self._past) > 1 else last
        return Point(last.time - before.time, last.coefficients, last.raw - before.raw, last.shown - last.raw)

    @property
    def course(self) -> Course:
        """Of the frame that was shown last."""
        return self._planner.course

    def push(self, step: Step) -> None:
        """Take in the motion of the newest frame."""
        if step.restart:
            self._forecaster.restart()
        self._forecaster.push(step.seconds, step.coefficients)
        self._waiting.append(step)

    def look(self) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
        """Move on to the oldest waiting frame and look around from there.

        Returns the window (TAPS, 2, ROWS, COLUMNS) relative to that frame's raw position, the cover (RAW + BINS,),
        and the seconds since the frame before.
        """
        step = self._waiting.popleft()
        if step.restart:
            self._past.clear()
            self._planner.restart()
        last = self._past[-1] if self._past else None
        # Points of the steady picture look at displaced points of the raw one: motion is taken where they look.
        offset = last.shown - last.raw if last else np.zeros((2, ROWS, COLUMNS))
        seen = self._points - (offset * self._unit).transpose(1, 2, 0)
        fields = basis(seen.astype(np.float32)).astype(np.float64)
        time = last.time + step.seconds if last else 0.0
        raw = last.raw + self._move(fields, step.coefficients, step.rest) if last else np.zeros_like(offset)
        self._now = time, step.coefficients, raw

        window = np.zeros((TAPS, 2, ROWS, COLUMNS))
        cover = np.zeros(RAW + BINS)
        recent = [p for p in reversed(self._past) if time - p.time <= REACH + 2 * step.seconds]
        times = np.array([p.time for p in recent])
        shown = np.array([p.shown for p in recent]).reshape(-1, 2, ROWS, COLUMNS) - raw
        if recent:
            raws = np.array([raw, *(p.raw for p in recent)]) - raw
            window[:BINS], cover[:BINS] = bin_means(time - np.array([time, *times]), raws)
            window[RAW] = shown[0]
            window[RAW + 1 : RAW + SHOWN], cover[RAW:] = bin_means(times[0] - times, shown)
        coming, ahead, forecasts = self._ahead(fields)
        window[BINS:RAW], cover[BINS:RAW] = bin_means(coming, ahead)
        window[RAW + SHOWN : -1] = forecasts
        paths = (raw - last.raw if last else np.zeros_like(raw))[None], shown, np.concatenate([ahead, forecasts])
        moved, shown, ahead = (path.reshape(-1, len(self._lanes)) @ self._lanes / self._margin for path in paths)
        coming = np.concatenate([coming, coming[-1] + HORIZONS])
        plan = self._planner.plan(step.seconds, moved[0], time - times, shown, coming, ahead)
        window[-1] = (self._margin * plan @ self._fields).reshape(2, ROWS, COLUMNS)
        return window.astype(np.float32), cover.astype(np.float32), step.seconds

    def show(self, offset: Points) -> None:
        """Remember the offset (2, ROWS, COLUMNS) that the frame just looked from was given."""
        if self._now is None:
            raise RuntimeError("show follows look")
        time, coefficients, raw = self._now
        self._past.append(_Past(time, coefficients, raw, raw + offset))
        self._now = None

    def _ahead(self, fields: NDArray[np.float64]) -> tuple[NDArray[np.float64], Points, Points]:
        """Times and positions of the due frame's points in the frames that wait, up to a restart; and their forecast.

        What comes after a restart is another scene's: the forecast is then that all stays where it was before.
        """
        steps = list(itertools.takewhile(lambda step: not step.restart, self._waiting))
        times = np.cumsum([0.0, *(s.seconds for s in steps)])
        zeros = np.zeros(LANES), np.zeros((2, ROWS, COLUMNS))
        coefficients = np.cumsum([zeros[0], *(s.coefficients for s in steps)], 0)
        rest = np.cumsum([zeros[1], *(s.rest for s in steps)], 0)
        moved = self._move(fields, coefficients, rest)
        forecast = np.zeros((len(HORIZONS), LANES))
        if len(steps) == len(self._waiting):
            forecast[:, :FORESEEN] = self._forecaster.ahead()
        return times, moved, moved[-1] + self._move(fields, forecast, zeros[1])

    def _move(self, fields: NDArray[np.float64], coefficients: Points, rest: Points) -> Points:
        moved: Points = np.einsum("rcdl,...l->...drc", fields, coefficients) + rest
        return np.asarray(moved / self._unit)


@functools.lru_cache(maxsize=64)
def _planned_lanes(aspect: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """From a normalised field of the lattice to the lanes that are planned, (2 ROWS COLUMNS, PLANNED), and back.

    The lanes are the warp network's (``networks/warp.py``): normalised as the field is, over a lattice to the edges.
    """
    fields = basis(lattice(ROWS, COLUMNS, aspect)).astype(np.float64) / np.array([1.0, aspect])[:, None]
    fields *= [1.0, aspect, 1.0, aspect, 1.0, aspect, 1.0, 1.0 / aspect]
    flat = fields.transpose(3, 2, 0, 1).reshape(LANES, -1)
    return np.linalg.pinv(flat)[:, :PLANNED], flat[:PLANNED]
