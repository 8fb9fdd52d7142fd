"""What the numbers of a picture mean: range and matrix, which video carries along and stills take for granted."""

from __future__ import annotations

from dataclasses import dataclass

NARROW, FULL = 1, 2
UNKNOWN = 2


@dataclass(frozen=True, slots=True)
class Colour:
    """Numbers of ITU-T H.273, as FFmpeg counts them; ``span`` is NARROW (16 to 235) or FULL."""

    span: int
    matrix: int = UNKNOWN
    primaries: int = UNKNOWN
    transfer: int = UNKNOWN


JFIF = Colour(FULL, 5)
"""Full-range BT.601: what a JPEG holds, and what raw planes are taken for."""
