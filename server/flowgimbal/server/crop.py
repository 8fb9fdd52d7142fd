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
EASE = 0.3  # seconds, time constant with which a changed crop takes the place of the old one
MOST_CROPPED = 0.5  # part of a side that may be cropped away
SEEN = 1e-4  # change of the shown part that nobody sees


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
        self._shown = self._target
        self._excess = 0.0  # of what is shown over what the settings say, since they changed

    @property
    def state(self) -> tuple[float, float]:
        """The room that is open, and the extent that is shown."""
        return self._room, self._shown

    def restore(self, room: float, shown: float) -> None:
        """Go on from the ``state`` of another one: what differs from the settings changes softly."""
        if self.policy is Crop.DYNAMIC:
            self._room = min(room, self.most)
        self._shown = shown
        self._excess = shown - self._target

    @property
    def _target(self) -> float:
        return 1.0 if self.policy is Crop.NONE else 1.0 - self._room

    def tune(self, policy: Crop, max_crop_ratio: float) -> None:
        """Other settings from now on: what is shown changes softly, and never beyond the picture's edge."""
        if (policy, max_crop_ratio) == (self.policy, self.most):
            return
        self.policy, self.most = policy, max_crop_ratio
        self._room = min(self._room, max_crop_ratio) if policy is Crop.DYNAMIC else max_crop_ratio
        self._excess = self._shown - self._target

    def whole(self) -> None:
        """The whole picture was shown: what follows begins from there."""
        self._shown = 1.0
        self._excess = 1.0 - self._target

    def limit(self, offset: NDArray[np.float64], seconds: float) -> tuple[NDArray[np.float64], float]:
        """Fit an offset (2, rows, columns), in half sides, into the room; the offset allowed, and the extent shown."""
        if self.policy is Crop.DYNAMIC:
            need = min(float(np.abs(offset).max()), self.most)
            closing = self._room * float(np.exp(-seconds / FALL))
            opening = self._room + self.most * seconds / RISE
            self._room = min(max(need, closing), opening)
            if need > self._room:
                offset = offset * (self._room / need)
        self._excess *= float(np.exp(-seconds / EASE))
        if abs(self._excess) < SEEN:
            self._excess = 0.0
        self._shown = self._target + self._excess
        if self._excess > 0 and self.policy is not Crop.NONE:
            need = float(np.abs(offset).max())
            offset = offset * min(1.0, (1.0 - self._shown) / max(need, 1e-12))
        return offset, self._shown
