"""Where the camera will go: a forecast of the path that learns, while the stream runs, how this camera moves.

A walker's bounce or an engine's hum goes on as it did; two seconds of window do not tell the one from the other, the
stream so far does. Each lane's future is a linear function of the bins of its past (``timeline.py``), found by
regularised least squares with forgetting (recursive least squares: Haykin, Adaptive Filter Theory, ch. 10). Its prior
is what holds for recorded cameras on average (``flowgimbal train forecast``), for shifts and for the others. A sample
counts by the inverse of its energy: the forecast is of the same kind for small and for heavy shake.

A rolling shutter tells more: it reads one row after the other, so a turn shears the picture, and a tilt stretches it,
by its speed just then (Meingast, Geyer and Sastry, Geometric Models of Rolling-Shutter Cameras, 2005), while a shift
tells its mean speed since the frame before. What shear and stretch did of late is thus part of a shift's past. How
much a camera's shutter says, and which way it reads, is learnt from nothing: there may be none that rolls.
"""

from __future__ import annotations

import functools
from importlib.resources import as_file, files

import numpy as np
from numpy.typing import NDArray

from flowgimbal.engines.timeline import BINS, REACH, bin_means

Array = NDArray[np.float64]

HORIZONS = np.array([1, 2, 3, 4, 6, 8, 10, 13, 16], np.float64) / 30.0  # seconds ahead of the newest frame
FORESEEN = 4  # lanes that are forecast: shifts, zoom and roll; the others hardly move, and stay where they are
WATCHED = 6  # and lanes whose past is looked at: stretch and shear, too
SHIFTS = 2  # lanes, the first two
SHUTTER = (5, 4)  # the lane, for each shift, that a rolling shutter turns its speed into
SKEWED = 3  # bins of that lane's past that are looked at
SLANT = 0.25  # of how far the shift went meanwhile; a skew beyond it is not the shutter's
PAST = BINS + SKEWED
MEMORY = 4.0  # seconds after which a sample counts for a third
TRUST = 150.0  # samples that the prior counts for
QUIET = 5e-3  # half widths; movement below it is nothing to learn from
NOMINAL = 1 / 30  # seconds that one sample stands for
RIDGE = 1e-6  # on the diagonal of what is solved
CAUTION = 0.1  # the same, for what a shutter may say
KEPT = 256  # frames that are kept at most, however fast they come
INSTANT = 1e-6  # seconds that times may be rounded by


@functools.lru_cache(maxsize=1)
def prior() -> tuple[Array, Array]:
    """What learning begins with, for each lane: products of the past with itself (FORESEEN, PAST, PAST) and with the
    future (FORESEEN, PAST, len(HORIZONS)), as much as samples that count TRUST would have given.
    """
    with as_file(files("flowgimbal.engines") / "weights" / "forecast.npz") as file, np.load(file) as data:
        known = [TRUST * np.repeat(data[name].astype(np.float64), SHIFTS, 0) for name in ("past", "future")]
    past = np.tile(np.diag([RIDGE] * BINS + [CAUTION] * SKEWED), (FORESEEN, 1, 1))
    past[:, :BINS, :BINS] += known[0]
    return past, np.pad(known[1], ((0, 0), (0, SKEWED), (0, 0)))


def with_skew(bins: Array) -> Array:
    """The past that forecasts are made of, (FORESEEN, PAST), from the ``bins`` (WATCHED, BINS) of the lanes.

    Both in half widths, relative to the newest frame.
    """
    most = SLANT * np.abs(bins[:SHIFTS, :SKEWED]).max(1, keepdims=True)
    skew = np.zeros((FORESEEN, SKEWED))
    skew[:SHIFTS] = np.clip(bins[SHUTTER, :SKEWED], -most, most)
    return np.concatenate([bins[:FORESEEN], skew], 1)


class Forecaster:
    """Follows one path, half widths; ``push`` its steps, then ask for what is ``ahead``."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Another scene: what was learnt holds no more."""
        self._times = np.zeros(0)
        self._seconds = np.zeros(0)  # since the frame before
        self._path = np.zeros((0, WATCHED))
        self._pasts = np.zeros((0, FORESEEN, PAST))
        self._learnt = 0  # frames of these whose future was seen
        self._past = np.zeros((FORESEEN, PAST, PAST))
        self._future = np.zeros((FORESEEN, PAST, len(HORIZONS)))

    def push(self, seconds: float, step: Array) -> None:
        """The newest frame: it came ``seconds`` after the one before, and the lanes (LANES,) moved by ``step``."""
        time, position = 0.0, np.zeros(WATCHED)
        if len(self._times):
            time, position = self._times[-1] + seconds, self._path[-1] + step[:WATCHED]
        old = min(self._learnt, int(np.searchsorted(self._times, time - REACH)) - 1)
        gone = max(len(self._times) + 1 - KEPT, old, 0)
        self._learnt = max(0, self._learnt - gone)
        self._times = np.append(self._times[gone:], time)
        self._seconds = np.append(self._seconds[gone:], seconds)
        self._path = np.concatenate([self._path[gone:], position[None]])
        self._pasts = np.concatenate([self._pasts[gone:], self._newest_past()[None]])
        while self._times[self._learnt] + HORIZONS[-1] <= time + INSTANT:
            self._learn(self._learnt)
            self._learnt += 1

    def ahead(self) -> Array:
        """How far the lanes will have moved from the newest frame after each of HORIZONS: (len(HORIZONS), FORESEEN)."""
        if not len(self._times):
            return np.zeros((len(HORIZONS), FORESEEN))
        past, future = prior()
        weights = np.linalg.solve(self._past + past, self._future + future)
        return np.asarray((self._pasts[-1][:, None] @ weights)[:, 0].T)

    def _newest_past(self) -> Array:
        """``with_skew`` of the path before the newest frame, relative to it; at first it stood where it began."""
        ages, path = self._times[-1] - self._times[::-1], self._path[::-1] - self._path[-1]
        if ages[-1] < REACH:
            ages, path = np.append(ages, ages[-1] + REACH), np.concatenate([path, path[-1:]])
        return with_skew(bin_means(ages, path)[0].T)

    def _learn(self, frame: int) -> None:
        after = self._times[frame] + HORIZONS
        came = np.stack([np.interp(after, self._times, lane) for lane in (self._path - self._path[frame]).T[:FORESEEN]])
        past, seconds = self._pasts[frame], self._seconds[frame]
        weighted = past * (seconds / NOMINAL / (np.square(past[:, :BINS]).mean(1) + QUIET**2))[:, None]
        kept = np.exp(-seconds / MEMORY)
        self._past = kept * self._past + weighted[:, :, None] * past[:, None]
        self._future = kept * self._future + weighted[:, :, None] * came[:, None]
