"""The plan of ``plan.py`` for whole batches of paths that live with their own past, open to gradients."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor

from flowgimbal.engines import plan
from flowgimbal.engines.forecast import HORIZONS
from flowgimbal.engines.networks.constants import constant
from flowgimbal.engines.plan import (
    BEHIND,
    COURSE,
    FIRST_ROUNDS,
    HOMEWARD,
    PLANNED,
    RELAXED,
    ROUNDS,
    STIFFNESS,
    UNIT,
    Array,
)


def _weights(times: Array, known: Array) -> Array:
    """Weights (times, known) of ``plan.positions``."""
    return plan.positions(times, known, np.eye(len(known)))


@functools.lru_cache(maxsize=64)
def _past(rate: float, device: torch.device) -> Tensor:
    """Weights (frames + 1, BEHIND, frames) of shown frames, newest first, for 0 .. ``frames`` that are known."""
    step = plan.spacing(1 / rate) * UNIT
    frames = math.ceil(BEHIND * step * rate) + 1
    weights = np.zeros((frames + 1, BEHIND, frames))
    for known in range(1, frames + 1):
        ages = (1 + np.arange(known)) / rate
        weights[known, :, :known] = _weights((1 + np.arange(BEHIND)) * step, ages)
    return torch.from_numpy(weights).float().to(device)


@functools.lru_cache(maxsize=1024)  # each form's look-ahead shrinks to nothing at the end of its paths
def _ahead(rate: float, known: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Weights (COURSE, known + 1 + len(HORIZONS)) of the path ahead and its forecast; the room (COURSE, 1)."""
    moments = np.arange(COURSE) * (plan.spacing(1 / rate) * UNIT)
    times = np.concatenate([np.arange(known + 1) / rate, known / rate + HORIZONS])
    room = plan.room(moments, known / rate)
    weights = torch.from_numpy(_weights(moments, times)).float()
    return weights.to(device), torch.from_numpy(room).float()[:, None].to(device)


@functools.lru_cache(maxsize=64)
def _operators(rate: float, device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """``plan.steadiness``, and the weights (COURSE, COURSE) that take a course on to the next frame."""
    count = plan.spacing(1 / rate)
    moments = np.arange(COURSE) * (count * UNIT)
    parts = (*plan.steadiness(count), _weights(moments + 1 / rate, moments))
    directions, costs, past, onward = (torch.from_numpy(part).float().to(device) for part in parts)
    return directions, costs, past, onward


def _corners(aspect: Tensor) -> tuple[Tensor, Tensor]:
    """``plan.corners`` of each ``aspect`` (B,): (B, WALLS, PLANNED) and (B, PLANNED)."""
    x, y = (constant(corner, aspect) for corner in ((-1.0, 1.0, -1.0, 1.0), (-1.0, -1.0, 1.0, 1.0)))
    one, none, square = torch.ones_like(x), torch.zeros_like(x), aspect.square()[:, None]
    lanes = [one, none, x, -square * y], [none, one, y, x]
    axes = [torch.stack([lane.expand(len(aspect), -1) for lane in axis], -1) for axis in lanes]
    unit = torch.ones_like(square)
    weight = torch.cat([unit, square, (unit + square) / 3, square * (unit + square) / 3], 1)
    return torch.cat(axes, 1), weight


class Planners:
    """``Planner`` of each of a batch of raw paths (B, T, LANES) in margins, of which ``look_ahead`` frames are known.

    ``forecasts`` (B, T, len(HORIZONS), LANES) are relative to the due frame, ``aspect`` (1,) or (B,) is height / width.
    """

    def __init__(self, raw: Tensor, forecasts: Tensor, rate: float, look_ahead: int, aspect: Tensor) -> None:
        self._raw, self._forecasts = raw[..., :PLANNED], forecasts[..., :PLANNED]
        self._rate, self._look_ahead = rate, look_ahead
        self._corners, self._weight = _corners(aspect)
        costs = _operators(rate, raw.device)[1]
        given = self._weight[:, None] * (costs[:, None] + HOMEWARD)
        self._answer = 1 / (given + STIFFNESS * self._corners.square().sum(1)[:, None])
        self._course = self._walls = raw.new_zeros(0)

    def plan(self, frame: int, shown: Tensor) -> Tensor:
        """Where to show ``frame``, relative to its raw position: (B, PLANNED).

        ``shown`` (B, frames, LANES) is the path shown so far, newest first; beyond its beginning it may hold anything.
        """
        now = self._raw[:, frame, None]
        known = min(self._look_ahead, self._raw.shape[1] - 1 - frame)
        ahead, reach = _ahead(self._rate, known, now.device)
        coming = torch.cat([self._raw[:, frame : frame + known + 1] - now, self._forecasts[:, frame]], 1)
        middle = ahead @ coming
        outward = self._corners.transpose(1, 2)
        places = middle @ outward
        low, high = places - reach, places + reach
        directions, _, past, onward = _operators(self._rate, now.device)
        behind = _past(self._rate, now.device)
        before = min(frame, behind.shape[2], shown.shape[1])
        home = HOMEWARD * middle
        if before:
            home = home + past @ (behind[before, :, :before] @ (shown[:, :before, :PLANNED] - now))
        home = home * self._weight[:, None]
        if frame:
            course = onward @ self._course - (now - self._raw[:, frame - 1, None]) @ outward
            walls = onward @ self._walls
        else:
            course = walls = torch.zeros_like(places)
        for _ in range(ROUNDS if frame else FIRST_ROUNDS):
            pull = home + STIFFNESS * (course - walls) @ self._corners
            steady = directions @ (self._answer * (directions.T @ pull))
            wanted = walls + RELAXED * (steady @ outward) + (1 - RELAXED) * course
            course = torch.minimum(torch.maximum(wanted, low), high)
            walls = wanted - course
        self._course, self._walls = course, walls
        return steady[:, 0]
