"""The steadiest course through the room: where the picture would go if the raw path came as known and as forecast.

Model predictive control: of all courses of the coming frames that keep the four corners of what is shown within the
room around the raw path, the plan is the one with which the shown path, past and course together, shakes least; its
first position is what the warp network sees, as one more tap, to follow or to correct. Shifts, zoom and roll are
planned in one, since they share the room: a quadratic programme by the alternating direction method of multipliers
(Boyd et al., Foundations and Trends in Machine Learning 3, 2011, section 5.2). Each begins where the one of the frame
before left off: the multipliers know which walls are leaned on, and a few rounds do; what a wall costs is then spread
over some frames, and the room holds softly. What is not known yet is forecast (``forecast.py``), and the room narrows
there with time.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowgimbal.engines.forecast import HORIZONS

Array = NDArray[np.floating[Any]]

PLANNED = 4  # lanes that are planned: the shifts, zoom and roll
WALLS = 8  # what is kept within the room: how far each of the four corners is moved to the right, then down
BEHIND, COURSE = 45, 36  # moments of the shown path that a course goes on from, and of the course, the due frame first
FINEST, COARSEST = 1 / 30, 1 / 5  # seconds between moments, for fast and for slow cameras
UNIT = 1 / 1200  # seconds; moments are a whole number of these apart, as the frames of all common rates are
ROUNDED = 0.1  # of UNIT; by how much frames may be further apart than moments
STEADY = 1.0  # Hz; movement above it is shake
JITTER = 1e-3  # weight of the course's third difference
HOMEWARD = 3e-4  # weight of its distance from the raw path
STIFFNESS = 0.025  # of the tie between a corner's place on the steadiest course and the nearest one within the room
RELAXED = 1.6  # by how much a round goes further than the tie says
ROUNDS, FIRST_ROUNDS = 12, 60
WIDEST, NARROWEST = 0.93, 0.3  # margins to both sides of the raw path, where it is known and where hardly
NARROWING = 1.0  # margins a second


@functools.lru_cache(maxsize=256)  # as many as there are spacings, 23 KB each
def steadiness(apart: int) -> tuple[Array, Array, Array]:
    """What a course costs: its principal directions (COURSE, COURSE), the cost of each, and the pull of the past.

    A course in the directions ``d`` costs ``costs * d**2``; the past (BEHIND,), newest first, pulls its moments by
    ``past @ shown``, (COURSE,). Moments are ``apart`` times UNIT apart, all is relative to one position.
    """
    count = BEHIND + COURSE
    path = np.eye(count)
    extended = np.concatenate([2 * path[:1] - path[:0:-1], path, 2 * path[-1:] - path[-2::-1]])
    frequency = np.maximum(np.fft.rfftfreq(len(extended), apart * UNIT), 1e-6)
    response = 1 / (1 + (STEADY / frequency) ** 8)  # Butterworth, 4th order, there and back
    shake = np.fft.irfft(response[:, None] * np.fft.rfft(extended, axis=0), len(extended), axis=0)
    shake, jitter = shake[count - 1 : 2 * count - 1], np.diff(path, 3, axis=0)
    cost = shake.T @ shake + JITTER * jitter.T @ jitter
    costs, directions = np.linalg.eigh(cost[BEHIND:, BEHIND:])
    return directions, costs, -cost[BEHIND:, BEHIND - 1 :: -1]


@functools.lru_cache(maxsize=64)
def corners(aspect: float) -> tuple[Array, Array]:
    """How far each lane moves the corners (WALLS, PLANNED), and what it weighs (PLANNED,); all in margins.

    ``aspect`` is height / width. A lane weighs as much as it moves the picture, in squared half widths on average. The
    columns are at right angles: what the corners ask of one lane, they ask of no other.
    """
    x, y = np.array([-1.0, 1.0, -1.0, 1.0]), np.array([-1.0, -1.0, 1.0, 1.0])
    one, none, square = np.ones(4), np.zeros(4), aspect**2
    moved = np.stack([[one, none, x, -square * y], [none, one, y, x]]).transpose(0, 2, 1).reshape(WALLS, PLANNED)
    return moved, np.array([1.0, square, (1 + square) / 3, square * (1 + square) / 3])


@functools.lru_cache(maxsize=1024)
def answers(apart: int, aspect: float) -> Array:
    """How far each lane gives in to a pull along each of the principal directions: (COURSE, PLANNED)."""
    moved, weight = corners(aspect)
    return np.asarray(1 / (weight * (steadiness(apart)[1][:, None] + HOMEWARD) + STIFFNESS * (moved**2).sum(0)))


def spacing(seconds: float) -> int:
    """How far apart moments are for frames ``seconds`` apart, in UNIT: as one frame is, or several of a fast camera.

    Between moments a path is interpolated, and what that smooths is not seen as shake.
    """
    seconds = max(seconds, UNIT)
    together = max(1, round(FINEST / seconds - ROUNDED))  # a tie at no rate that cameras have
    return math.ceil(min(together * seconds, COARSEST) / UNIT - ROUNDED)


def room(times: Array, known: float) -> Array:
    """Margins to both sides of the raw path at ``times`` after the due frame, if ``known`` seconds are known."""
    unknown = np.maximum(times - known, 0.0)
    return np.asarray(np.maximum(WIDEST - NARROWING * unknown, NARROWEST))


def positions(times: Array, known: Array, values: Array) -> Array:
    """A path, ``values`` (n, lanes) at rising times ``known`` (n,), at other ``times`` (m,): (m, lanes)."""
    return np.stack([np.interp(times, known, lane) for lane in values.T], 1)


@dataclass(frozen=True, slots=True)
class Course:
    """What the plan of the next frame begins with: (COURSE, WALLS) each, relative to the due frame's raw position."""

    spacing: int = 0  # UNITs between its moments; 0 without a course
    positions: Array = field(default_factory=lambda: np.zeros((COURSE, WALLS)))  # of the corners, within the room
    walls: Array = field(default_factory=lambda: np.zeros((COURSE, WALLS)))  # multipliers: how hard one is leaned on


class Planner:
    """Plans one stream's course, frame after frame. All positions are in margins, (PLANNED,) or (n, PLANNED)."""

    def __init__(self, aspect: float, course: Course | None = None) -> None:
        """``aspect`` is height / width of the picture; go on from the ``course`` of another planner."""
        self._aspect = aspect
        self._corners, self._weight = corners(aspect)
        self.course = course or Course()

    def restart(self) -> None:
        """Another scene: the course of before leads nowhere."""
        self.course = Course()

    def plan(self, seconds: float, moved: Array, ages: Array, shown: Array, times: Array, raw: Array) -> Array:
        """Where to show the due frame, relative to its raw position, as the rest is.

        The raw path ``moved`` within the ``seconds`` since the frame before. ``shown`` (n, PLANNED), newest first, was
        shown ``ages`` (n,) seconds ago; the path is ``raw`` (m, PLANNED) at ``times`` (m,), from the due frame on to
        the newest, and at HORIZONS after that by forecast.
        """
        count = spacing(seconds)
        moments = np.arange(COURSE) * (count * UNIT)
        middle = positions(moments, times, raw)
        reach = room(moments, times[-len(HORIZONS) - 1])[:, None]
        places = middle @ self._corners.T
        low, high = places - reach, places + reach
        directions, _, past = steadiness(count)
        answer = answers(count, self._aspect)
        home = HOMEWARD * middle
        if len(ages):
            home += past @ positions((1 + np.arange(BEHIND)) * (count * UNIT), ages, shown)
        home *= self._weight
        before = self.course
        then = np.arange(COURSE) * (before.spacing * UNIT if before.spacing else moments[1])
        course = positions(moments + seconds, then, before.positions) - self._corners @ moved
        walls = positions(moments + seconds, then, before.walls)
        for _ in range(ROUNDS if before.spacing else FIRST_ROUNDS):
            pull = home + STIFFNESS * (course - walls) @ self._corners
            steady = directions @ (answer * (directions.T @ pull))
            wanted = walls + RELAXED * (steady @ self._corners.T) + (1 - RELAXED) * course
            course = np.minimum(np.maximum(wanted, low), high)
            walls = wanted - course
        self.course = Course(count, course, walls)
        return np.asarray(steady[0])
