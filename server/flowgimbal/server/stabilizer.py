"""The heart: measure, remember, decide, limit, warp. Knows no gRPC and no codec.

SKELETON with the final signatures; the body is written elsewhere at this moment.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from flowgimbal.server.warp import Warp


class Crop(Enum):
    """How the picture is enlarged so that no border shows."""

    NONE = "none"
    FIXED = "fixed"
    DYNAMIC = "dynamic"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a stream asks of its stabilizer; ranges as in ``StreamConfig``."""

    strength: float = 0.8
    look_ahead: int = 0
    crop: Crop = Crop.FIXED
    max_crop_ratio: float = 0.1


@dataclass(frozen=True, slots=True)
class Motion:
    """How the picture moved since the frame before (opaque to callers)."""

    time_ns: int


class Stabilizer:
    """One picture size of one stream. ``measure`` and ``decide`` may run in two threads, each in frame order."""

    def __init__(self, engine: object, settings: Settings, width: int, height: int) -> None:
        self._waiting: deque[Motion] = deque()
        self._settings = settings

    def measure(self, luma: NDArray[np.uint8], time_ns: int) -> Motion:
        """Measure the motion since the frame before; ``luma`` is the (height, width) luma plane."""
        return Motion(time_ns)

    def decide(self, motion: Motion) -> Warp | None:
        """Take in one motion; return the warp of the frame ``look_ahead`` back, None while there is none."""
        self._waiting.append(motion)
        if len(self._waiting) <= self._settings.look_ahead:
            return None
        self._waiting.popleft()
        return self._warp()

    def flush(self) -> Iterator[Warp]:
        """The warps of the frames that still wait, oldest first."""
        while self._waiting:
            self._waiting.popleft()
            yield self._warp()

    def _warp(self) -> Warp:
        v, u = np.mgrid[0:1:9j, 0:1:17j].astype(np.float32)
        return Warp(mesh=(np.stack([u, v], -1) - 0.5) * np.float32(0.9) + np.float32(0.5))
