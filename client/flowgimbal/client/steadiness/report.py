"""One video against another: how much steadier, and at what price."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

from flowgimbal.client.steadiness import fidelity
from flowgimbal.client.steadiness.bands import accel, shake
from flowgimbal.client.steadiness.gray import Gray
from flowgimbal.client.steadiness.motion import Camera

FEWEST_FRAMES = 16
_ALIGN_EVERY, _BLACK_EVERY = 3, 5


@dataclass(frozen=True)
class Report:
    """The figures of a pair of videos. None where the two pictures could not be matched.

    ``gain_db``: 20 log10(shake_in / shake_out), higher is steadier. ``shake_*``: RMS of the camera's path above 1 Hz
    [px at a width of 1280]. ``accel_*``: RMS second difference of the path [px/frame^2]. ``fov``: side length of what
    is still seen (1: all). ``distortion``: the worst frame's ratio of stretches (1: none). ``wobble``: jelly, out over
    in (1: none added). ``black``: share of black border. ``itf_db``: likeness of neighbouring frames of the output.
    """

    frames: int
    gain_db: float
    shake_in: float
    shake_out: float
    accel_in: float
    accel_out: float
    fov: float | None
    distortion: float | None
    wobble: float
    black: float
    itf_db: float


def compare(raw: Iterable[Gray], steady: Iterable[Gray], rate: float) -> Report:
    """Measure ``steady`` against ``raw``, frame by frame, both as from ``gray_frames``; ``rate`` is in frames/s.

    Holds two frames of each, however long they are. Raises ValueError with fewer than 16 frames in common.
    """
    before, after = Camera(), Camera()
    last: Gray | None = None
    views: list[float] = []
    straight: list[float] = []
    borders: list[float] = []
    likenesses: list[float] = []
    count = 0
    for source, result in zip(raw, steady, strict=False):
        before.add(source)
        after.add(result)
        if last is not None:
            likenesses.append(fidelity.likeness(last, result))
        last = result
        if count % _ALIGN_EVERY == 0:
            height, width = source.shape
            same = result if result.shape == source.shape else cast(Gray, cv2.resize(result, (width, height)))
            matrix = fidelity.alignment(source, same)
            if matrix is not None:
                views.append(fidelity.field_of_view(matrix, width, height))
                straight.append(fidelity.distortion(matrix))
        if count % _BLACK_EVERY == 0:
            borders.append(fidelity.black(result))
        count += 1
    if count < FEWEST_FRAMES:
        raise ValueError(f"only {count} frames in common; {FEWEST_FRAMES} are needed to tell shake from a pan")
    shake_in, shake_out = shake(before.path, rate), shake(after.path, rate)
    return Report(
        frames=count,
        gain_db=20 * math.log10(max(shake_in, 1e-6) / max(shake_out, 1e-6)),
        shake_in=shake_in,
        shake_out=shake_out,
        accel_in=accel(before.path),
        accel_out=accel(after.path),
        fov=float(np.mean(views)) if views else None,
        distortion=min(straight) if straight else None,
        wobble=after.residual / max(before.residual, 1e-6),
        black=float(np.mean(borders)),
        itf_db=float(np.mean(likenesses)),
    )
