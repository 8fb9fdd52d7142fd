"""The steadiest course through the room: where the picture would go if the raw path came as known and as forecast.

Model predictive control: of all courses of the coming frames that stay within the room around the raw path, the plan
is the one with which the shown path, past and course together, shakes least; its first position is what the warp
network sees, as one more tap, to follow or to correct. One quadratic programme an axis, for the middle of the picture,
by the alternating direction method of multipliers (Boyd et al., Foundations and Trends in Machine Learning 3, 2011,
section 5.2). Each begins where the one of the frame before left off: the multipliers know which walls are leaned on,
and a few rounds do; what a wall costs is then spread over some frames, and the room holds softly. What is not known
yet is forecast (``forecast.py``), and the room narrows there with time.
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

PLANNED = 2  # lanes that are planned: the shifts
BEHIND, COURSE = 45, 36  # moments of the shown path that a course goes on from, and of the course, the due frame first
FINEST, COARSEST = 1 / 30, 1 / 5  # seconds between moments, for fast and for slow cameras
UNIT = 1 / 240  # seconds; moments are a whole number of these apart
STEADY = 1.0  # Hz; movement above it is shake
JITTER = 1e-3  # weight of the course's third difference
HOMEWARD = 3e-4  # weight of its distance from the raw path
STIFFNESS = 0.1  # of the tie between the steadiest course and the nearest one within the room
RELAXED = 1.6  # by how much a round goes further than the tie says
ROUNDS, FIRST_ROUNDS = 8, 60
WIDEST, NARROWEST = 0.9, 0.3  # margins to both sides of the raw path, where it is known and where hardly
NARROWING = 1.0  # margins a second


@functools.lru_cache(maxsize=64)
def operators(apart: int) -> tuple[Array, Array]:
    """How the steadiest course answers to a pull on its moments (COURSE, COURSE), and to the past (COURSE, BEHIND).

    Moments are ``apart`` times UNIT apart; the past comes newest first, all is relative to one position.
    """
    count = BEHIND + COURSE
    path = np.eye(count)
    extended = np.concatenate([2 * path[:1] - path[:0:-1], path, 2 * path[-1:] - path[-2::-1]])
    frequency = np.maximum(np.fft.rfftfreq(len(extended), apart * UNIT), 1e-6)
    response = 1 / (1 + (STEADY / frequency) ** 8)  # Butterworth, 4th order, there and back
    shake = np.fft.irfft(response[:, None] * np.fft.rfft(extended, axis=0), len(extended), axis=0)
    shake, jitter = shake[count - 1 : 2 * count - 1], np.diff(path, 3, axis=0)
    cost = shake.T @ shake + JITTER * jitter.T @ jitter
    answer = np.linalg.inv(cost[BEHIND:, BEHIND:] + (HOMEWARD + STIFFNESS) * np.eye(COURSE))
    return answer, np.asarray(-answer @ cost[BEHIND:, BEHIND - 1 :: -1])


def spacing(seconds: float) -> int:
    """How far apart moments are for frames ``seconds`` apart, in UNIT: no less, or the last shown lies between two."""
    return math.ceil(min(max(seconds, FINEST), COARSEST) / UNIT - 1e-6)


def room(times: Array, known: float) -> Array:
    """Margins to both sides of the raw path at ``times`` after the due frame, if ``known`` seconds are known."""
    unknown = np.maximum(times - known, 0.0)
    return np.asarray(np.maximum(WIDEST - NARROWING * unknown, NARROWEST))


def positions(times: Array, known: Array, values: Array) -> Array:
    """A path, ``values`` (n, lanes) at rising times ``known`` (n,), at other ``times`` (m,): (m, lanes)."""
    return np.stack([np.interp(times, known, lane) for lane in values.T], 1)


@dataclass(frozen=True, slots=True)
class Course:
    """What the plan of the next frame begins with: (COURSE, PLANNED) each, relative to the due frame's raw position."""

    spacing: int = 0  # UNITs between its moments; 0 without a course
    positions: Array = field(default_factory=lambda: np.zeros((COURSE, PLANNED)))  # margins, within the room
    walls: Array = field(default_factory=lambda: np.zeros((COURSE, PLANNED)))  # multipliers: how hard one is leaned on


class Planner:
    """Plans one stream's course, frame after frame. All positions are in margins, (PLANNED,) or (n, PLANNED)."""

    def __init__(self, course: Course | None = None) -> None:
        """Go on from the ``course`` of another planner."""
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
        low, high = middle - reach, middle + reach
        answer, past = operators(count)
        home = HOMEWARD * (answer @ middle)
        if len(ages):
            home += past @ positions((1 + np.arange(BEHIND)) * (count * UNIT), ages, shown)
        before = self.course
        then = np.arange(COURSE) * (before.spacing * UNIT if before.spacing else moments[1])
        course = positions(moments + seconds, then, before.positions) - moved
        walls = positions(moments + seconds, then, before.walls)
        steady = course
        for _ in range(ROUNDS if before.spacing else FIRST_ROUNDS):
            steady = home + STIFFNESS * (answer @ (course - walls))
            wanted = walls + RELAXED * steady + (1 - RELAXED) * course
            course = np.minimum(np.maximum(wanted, low), high)
            walls = wanted - course
        self.course = Course(count, course, walls)
        return np.asarray(steady[0])
