"""How the warp network sees time: means of a path over bins that widen with their distance from now.

Bins are in seconds, so that neither frame rate nor dropped or irregular frames bend the path.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

EDGES = np.array([0, 1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 31, 38, 48, 60], np.float64) / 30.0
BINS = len(EDGES) - 1
REACH = float(EDGES[-1])  # seconds, to both sides

Array = NDArray[np.float64]


def bin_means(times: Array, values: Array) -> tuple[Array, Array]:
    """Means of a piecewise linear path over the bins.

    ``times`` (n,) in seconds, rising, 0 being the near end; ``values`` (n, ...). Returns the means (BINS, ...) over
    the part of each bin that the path covers, zero where it covers none, and the covered parts (BINS,) in [0, 1].
    """
    shape = (BINS, *values.shape[1:])
    if len(times) < 2:
        return np.zeros(shape), np.zeros(BINS)
    steps = np.diff(times)
    areas = 0.5 * (values[1:] + values[:-1]) * steps.reshape(-1, *[1] * (values.ndim - 1))
    total = np.concatenate([np.zeros_like(values[:1]), np.cumsum(areas, 0)])
    edges = np.clip(EDGES, times[0], times[-1])
    index = np.clip(np.searchsorted(times, edges, side="right") - 1, 0, len(steps) - 1)
    part = (edges - times[index]).reshape(-1, *[1] * (values.ndim - 1))
    slope = (values[index + 1] - values[index]) / steps[index].reshape(part.shape)
    integral = total[index] + part * (values[index] + 0.5 * part * slope)
    widths = np.diff(edges)
    cover = widths / np.diff(EDGES)
    width = np.where(widths > 1e-9, widths, 1.0).reshape(-1, *[1] * (values.ndim - 1))
    means = np.diff(integral, axis=0) / width
    means[widths <= 1e-9] = 0.0
    return means, cover
