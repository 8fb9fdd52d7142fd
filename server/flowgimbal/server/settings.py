"""What a stream asks of its stabilizer."""

from __future__ import annotations

from dataclasses import dataclass

from flowgimbal.server.crop import Crop
from flowgimbal.server.pins import Region

LEAST_CROP = 1e-4  # crop ratio below which there is no room to move


@dataclass(frozen=True, slots=True)
class Settings:
    """Ranges as in ``StreamConfig``."""

    strength: float = 0.8
    look_ahead: int = 0
    crop: Crop = Crop.FIXED
    max_crop_ratio: float = 0.1
    pins: tuple[Region, ...] = ()

    @property
    def active(self) -> bool:
        """Whether anything is to be moved, and has room to."""
        return self.strength > 0.0 and self.max_crop_ratio > LEAST_CROP

    @property
    def extent(self) -> float:
        """The part of the picture's sides that stays visible."""
        return 1.0 - self.max_crop_ratio
