"""What a stabilizer adds to a picture that stands still."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from flowgimbal.client.steadiness.bands import Path, shake
from flowgimbal.client.steadiness.gray import UNIT, Gray
from flowgimbal.client.steadiness.motion import between, nine_points, project


def standing_path(pictures: Iterable[Gray]) -> Path:
    """Where nine points of the first picture are in each one: float64 (T, 9, 2), px at a width of 640.

    Each picture is matched with the first, not with the one before: for a camera that stands, nothing adds up. Frames
    that cannot be matched count as not moved. Raises ValueError if there is no picture.
    """
    first: Gray | None = None
    path: list[Path] = []
    for picture in pictures:
        if first is None:
            first = picture
            points = nine_points(*picture.shape)
            path.append(np.zeros_like(points))
            continue
        matrix, _ = between(first, picture)
        path.append(project(matrix, points) - points)
    if first is None:
        raise ValueError("there is no picture to measure")
    return np.stack(path)


def added_motion(raw: Path, steady: Path) -> float:
    """RMS of what ``steady`` moves and ``raw`` does not, both (T, points, 2): in px of a 1280 px wide picture.

    A picture that stands elsewhere, but stands, has not moved: the mean over time is left out.
    """
    added = steady - raw
    added = added - added.mean(0)
    return float(np.sqrt((added**2).sum(-1).mean())) * UNIT


def added_shake(raw: Path, steady: Path, rate: float) -> float:
    """The part of ``added_motion`` above one hertz: what trembles, without what drifts; ``rate`` is in frames/s."""
    return shake(steady - raw, rate)
