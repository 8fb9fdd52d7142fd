"""Principal components of flow: what camera motion looks like beyond the eight fields of a homography.

Rolling shutter bends a picture, depth shears it: smooth fields that no homography gives. Their principal components
were learned from data (``flowgimbal train components``), after Wulff & Black (PCA-Flow, CVPR 2015), whose use for
inpainting and for smoothing warps is Yu & Ramamoorthi's (CVPR 2020, section 3.2).
"""

from __future__ import annotations

import functools
from importlib.resources import as_file, files

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@functools.lru_cache(maxsize=1)
def load() -> tuple[Array, Array]:
    """The components (COMPONENTS, 2, rows, columns) on a lattice over the whole picture, edges included, and their
    spreads (COMPONENTS,): the RMS of each one's coefficient from frame to frame, in half widths.
    """
    with as_file(files("flowgimbal.engines") / "weights" / "components.npz") as file, np.load(file) as data:
        return data["fields"].astype(np.float64), data["spreads"].astype(np.float64)


def sample(fields: Array, u: Array, v: Array) -> Array:
    """``fields`` (N, 2, rows, columns) at the crossings of ``u`` (columns',) and ``v`` (rows',), both in [-1, 1]:
    float64 (N, 2, rows', columns')."""
    rows, columns = fields.shape[2:]
    map_x, map_y = np.meshgrid((u + 1) * 0.5 * (columns - 1), (v + 1) * 0.5 * (rows - 1))
    maps = map_x.astype(np.float32), map_y.astype(np.float32)
    planes = fields.reshape(-1, rows, columns).astype(np.float32)
    sampled = [cv2.remap(plane, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for plane in planes]
    return np.stack(sampled).reshape(*fields.shape[:2], *map_x.shape).astype(np.float64)
