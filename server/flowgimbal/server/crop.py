"""How much of the picture is shown: the crop, and the room that it leaves for the warp.

The warp network never asks for more than one margin, so black cannot appear: the visible part, moved by at most one
margin, ends at the picture's edge.
"""

from __future__ import annotations

from enum import Enum

import numpy as np
from numpy.typing import NDArray

RISE = 0.6  # seconds in which a dynamic crop opens the whole room
FALL = 6.0  # seconds, time constant with which it closes again


class Crop(Enum):
    """How the picture is enlarged so that no border shows."""

    NONE = "none"
    FIXED = "fixed"
    DYNAMIC = "dynamic"


class Cropper:
    """Gives each frame its room, in parts of the picture's side (both edges together)."""

    def __init__(self, policy: Crop, max_crop_ratio: float) -> None:
        self.policy = policy
        self.most = max_crop_ratio
        self._room = 0.0 if policy is Crop.DYNAMIC else max_crop_ratio

    def limit(self, offset: NDArray[np.float64], seconds: float) -> tuple[NDArray[np.float64], float]:
        """Fit an offset (2, rows, columns), in half sides, into the room; the offset allowed, and the extent shown."""
        if self.policy is Crop.DYNAMIC:
            need = min(float(np.abs(offset).max()), self.most)
            closing = self._room * float(np.exp(-seconds / FALL))
            opening = self._room + self.most * seconds / RISE
            self._room = min(max(need, closing), opening)
            if need > self._room:
                offset = offset * (self._room / need)
        shown = 1.0 if self.policy is Crop.NONE else 1.0 - self._room
        return offset, shown
