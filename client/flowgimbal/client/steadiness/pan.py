"""How a wanted movement of the camera comes through: pure functions of two paths.

A path is float64 (T, 2), px at a width of 640: how far the content at the picture's centre has moved since the first
frame. ``followed`` is the raw video's, ``shown`` is what the steady video shows, in pixels of the raw one, so that a
zoom that makes room for the crop counts for nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from flowgimbal.client.steadiness.bands import Path
from flowgimbal.client.steadiness.gray import UNIT

SLOW_HZ = 0.5
"""Below it a movement is meant."""

SHORTEST = 128.0
"""Less than this, in px of a 1280 px wide picture, is no pan but sway, which a stabilizer may hold still."""

_NEAR_SECONDS = 1.0
_END_SECONDS = 0.5
"""The filter is led by the very first and last position, shake and all: what it says there is left out."""
_STEPS_A_FRAME = 10


@dataclass(frozen=True)
class Pan:
    """How the slow part of the camera's path is followed, along the direction in which it is longest.

    ``lag_seconds``: by how much ``shown`` comes later, at most one second. ``overshoot``: how far it leaves the range
    that ``followed`` has within a second of that moment [px of a 1280 px wide picture]. ``kept``: its range over that
    of ``followed``. ``correlation``: Pearson's, of the two as they are, a lag not taken out.
    """

    lag_seconds: float
    overshoot: float
    kept: float
    correlation: float


def pan(followed: Path, shown: Path, rate: float) -> Pan | None:
    """Measure both paths (T, 2), taken at ``rate`` [frames/s]; None where ``followed`` has no pan in it."""
    ends = min(round(_END_SECONDS * rate), len(followed) // 8)
    slow_followed, slow_shown = (slow(path, rate)[ends : len(path) - ends] for path in (followed, shown))
    centred = slow_followed - slow_followed.mean(0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    wanted, got = slow_followed @ directions[0], slow_shown @ directions[0]
    reach = float(np.ptp(wanted))
    if reach * UNIT < SHORTEST:
        return None
    return Pan(
        lag_seconds=_lag(wanted, got, rate),
        overshoot=_overshoot(wanted, got, round(_NEAR_SECONDS * rate)) * UNIT,
        kept=float(np.ptp(got)) / reach,
        correlation=_correlation(wanted, got),
    )


def slow(path: Path, rate: float) -> Path:
    """``path`` (T, ...) below half a hertz, without delay: a Gaussian, whose gain there is the root of a half.

    A sharper filter would ring at the end of a pan, and show an overshoot where there is none.
    """
    sigma = math.sqrt(math.log(2)) / (2 * math.pi * SLOW_HZ) * rate
    reach = min(len(path) - 1, math.ceil(4 * sigma))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weights /= weights.sum()
    before, after = 2 * path[0] - path[reach:0:-1], 2 * path[-1] - path[-2 : -reach - 2 : -1]
    signal = np.concatenate([before, path, after]).astype(np.float64)
    flat = signal.reshape(len(signal), -1)
    columns = [np.convolve(column, weights, mode="valid") for column in flat.T]
    return np.stack(columns, 1).reshape(path.shape)


def _lag(wanted: Path, got: Path, rate: float) -> float:
    """The delay [s] within a second either way at which ``got`` is most like ``wanted``, in tenths of a frame."""
    times = np.arange(len(wanted))
    most = min(round(_NEAR_SECONDS * rate), (len(wanted) - 1) // 3)
    inner = times[most : len(times) - most]
    delays = np.arange(-most * _STEPS_A_FRAME, most * _STEPS_A_FRAME + 1) / _STEPS_A_FRAME
    likeness = [_correlation(np.interp(inner - delay, times, wanted), got[inner]) for delay in delays]
    return float(delays[int(np.argmax(likeness))] / rate)


def _overshoot(wanted: Path, got: Path, near: int) -> float:
    """By how much ``got`` leaves the range that ``wanted`` has within ``near`` frames, at most."""
    framed = np.pad(wanted, near, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(framed, 2 * near + 1)
    beyond = np.maximum(got - windows.max(1), windows.min(1) - got)
    return float(max(0.0, beyond.max()))


def _correlation(wanted: Path, got: Path) -> float:
    a, b = wanted - wanted.mean(), got - got.mean()
    return float((a * b).sum() / max(1e-12, math.sqrt((a**2).sum() * (b**2).sum())))
