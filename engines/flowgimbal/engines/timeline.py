"""How the warp network sees time: means of a path over bins that widen with their distance from now.

Bins are in seconds, so that neither frame rate nor dropped or irregular frames bend the path.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

EDGES = np.array([0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 31, 38, 48, 60], np.float64) / 30.0
WIDTHS = np.diff(EDGES)
BINS = len(WIDTHS)
REACH = float(EDGES[-1])  # seconds, to both sides

Array = NDArray[np.float64]


def bin_means(times: Array, values: Array) -> tuple[Array, Array]:
    """Means of a piecewise linear path over the bins.

    ``times`` (n,) in seconds, rising, 0 being the near end; ``values`` (n, ...). Returns the means (BINS, ...) over
    the part of each bin that the path covers, zero where it covers none, and the covered parts (BINS,) in [0, 1].
    """
    count = len(times)
    if count < 2:
        return np.zeros((BINS, *values.shape[1:])), np.zeros(BINS)
    steps = times[1:] - times[:-1]
    edges = np.clip(EDGES, times[0], times[-1])
    index = np.clip(np.searchsorted(times, edges, side="right") - 1, 0, count - 2)
    part = edges - times[index]
    tail = 0.5 * part * part / steps[index]
    # How much of each value the path's integral up to an edge holds: half a step to both sides, then what is begun.
    sides = np.concatenate([[0.0], steps, [0.0]])
    parts = np.where(np.arange(count) < index[:, None], 0.5 * (sides[:-1] + sides[1:]), 0.0)
    row = np.arange(len(EDGES))
    parts[row, index] = 0.5 * sides[index] + part - tail
    parts[row, index + 1] = tail
    widths = edges[1:] - edges[:-1]
    seen = widths > 1e-9
    weights = (parts[1:] - parts[:-1]) * (seen / np.where(seen, widths, 1.0))[:, None]
    # A sliver that rounding left of a bin counts for nothing: its mean is none, and must not be taken for one.
    cover = seen * widths / WIDTHS
    return (weights @ values.reshape(count, -1)).reshape(BINS, *values.shape[1:]), cover
