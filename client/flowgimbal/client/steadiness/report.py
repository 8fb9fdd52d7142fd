"""One video against another: how much steadier, and at what price."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

import cv2
import numpy as np

from flowgimbal.client.steadiness import fidelity
from flowgimbal.client.steadiness.bands import Path, accel, shake
from flowgimbal.client.steadiness.gray import Gray
from flowgimbal.client.steadiness.motion import Camera, Matrix
from flowgimbal.client.steadiness.pan import pan

FEWEST_FRAMES = 16
_ALIGN_EVERY, _BLACK_EVERY = 3, 5
_CENTRE = 4


@dataclass(frozen=True)
class Report:
    """The figures of a pair of videos. None where the two pictures could not be matched.

    ``gain_db``: 20 log10(shake_in / shake_out), higher is steadier. ``shake_*``: RMS of the camera's path above 1 Hz
    [px at a width of 1280]. ``accel_*``: RMS second difference of the path [px/frame^2]. ``fov``: side length of what
    is still seen (1: all). ``distortion``: the worst frame's ratio of stretches (1: none); ``dist5``: its fifth
    percentile. ``wobble``: jelly, out over in (1: none added). ``black``: share of black border. ``itf_db``: likeness
    of neighbouring frames of the output. ``pan_*``: see ``Pan``; None where the camera does not pan.
    """

    frames: int
    gain_db: float
    shake_in: float
    shake_out: float
    accel_in: float
    accel_out: float
    fov: float | None
    distortion: float | None
    dist5: float | None
    wobble: float
    black: float
    itf_db: float
    pan_lag_seconds: float | None
    pan_lag_frames: float | None
    pan_overshoot: float | None
    pan_kept: float | None
    pan_correlation: float | None


@dataclass
class Original:
    """What is measured of the raw video. With ``keep`` it may be compared with many and is measured once.

    That takes a third of a megabyte a frame.
    """

    keep: bool = False
    camera: Camera = field(default_factory=Camera)
    _features: dict[int, fidelity.Features] = field(default_factory=dict)
    _seen: int = 0

    def see(self, number: int, picture: Gray) -> None:
        """Measure picture ``number``, unless that was done before."""
        if number < self._seen:
            return
        self.camera.add(picture)
        if number % _ALIGN_EVERY == 0:
            if not self.keep:
                self._features.clear()
            self._features[number] = fidelity.features(picture)
        self._seen += 1

    def features(self, number: int) -> fidelity.Features:
        """Those of picture ``number``, one of the pictures that are aligned: the newest, or any with ``keep``."""
        return self._features[number]


@dataclass
class Comparison:
    """Takes in the frames of both videos, as from ``gray_frames``, and holds two of each, however long they are."""

    original: Original = field(default_factory=Original)
    count: int = 0
    _after: Camera = field(default_factory=Camera)
    _last: Gray | None = None
    _size: tuple[int, int] = (0, 0)
    _matches: dict[int, Matrix] = field(default_factory=dict)
    _borders: list[float] = field(default_factory=list)
    _likenesses: list[float] = field(default_factory=list)

    def add(self, raw: Gray, steady: Gray) -> None:
        """Measure the next pair."""
        self.original.see(self.count, raw)
        self._after.add(steady)
        if self._last is not None:
            self._likenesses.append(fidelity.likeness(self._last, steady))
        self._last = steady
        height, width = self._size = raw.shape
        if self.count % _ALIGN_EVERY == 0:
            same = steady if steady.shape == raw.shape else cast(Gray, cv2.resize(steady, (width, height)))
            matrix = fidelity.match(self.original.features(self.count), fidelity.features(same))
            if matrix is not None:
                self._matches[self.count] = matrix
        if self.count % _BLACK_EVERY == 0:
            self._borders.append(fidelity.black(steady))
        self.count += 1

    def followed(self) -> Path:
        """The raw video's path at the picture's centre: float64 (T, 2), px at a width of 640."""
        return self.original.camera.until(self.count).path[:, _CENTRE]

    def shown(self) -> Path | None:
        """The path that the steady video shows, as ``followed``; None if no picture could be matched.

        It is the raw path and the distance between the two, known for every third frame: unlike a sum of steps it does
        not drift away.
        """
        if not self._matches:
            return None
        height, width = self._size
        known = sorted(self._matches)
        offsets = np.stack([fidelity.moved(self._matches[number], width, height) for number in known])
        every = [np.interp(np.arange(self.count), known, column) for column in offsets.T]
        return cast(Path, self.followed() + np.stack(every, 1))

    def report(self, rate: float) -> Report:
        """The figures, for ``rate`` frames/s. Raises ValueError with fewer than 16 frames."""
        if self.count < FEWEST_FRAMES:
            raise ValueError(f"only {self.count} frames in common; {FEWEST_FRAMES} are needed to tell shake from a pan")
        before = self.original.camera.until(self.count)
        shake_in, shake_out = shake(before.path, rate), shake(self._after.path, rate)
        height, width = self._size
        views = [fidelity.field_of_view(matrix, width, height) for matrix in self._matches.values()]
        straight = [fidelity.distortion(matrix) for matrix in self._matches.values()]
        shown = self.shown()
        panned = None if shown is None else pan(self.followed(), shown, rate)
        return Report(
            frames=self.count,
            gain_db=20 * math.log10(max(shake_in, 1e-6) / max(shake_out, 1e-6)),
            shake_in=shake_in,
            shake_out=shake_out,
            accel_in=accel(before.path),
            accel_out=accel(self._after.path),
            fov=float(np.mean(views)) if views else None,
            distortion=min(straight) if straight else None,
            dist5=float(np.percentile(straight, 5)) if straight else None,
            wobble=self._after.residual / max(before.residual, 1e-6),
            black=float(np.mean(self._borders)),
            itf_db=float(np.mean(self._likenesses)),
            pan_lag_seconds=panned.lag_seconds if panned else None,
            pan_lag_frames=panned.lag_seconds * rate if panned else None,
            pan_overshoot=panned.overshoot if panned else None,
            pan_kept=panned.kept if panned else None,
            pan_correlation=panned.correlation if panned else None,
        )


def compare(raw: Iterable[Gray], steady: Iterable[Gray], rate: float) -> Report:
    """Measure ``steady`` against ``raw``, frame by frame, both as from ``gray_frames``; ``rate`` is in frames/s.

    Holds two frames of each, however long they are. Raises ValueError with fewer than 16 frames in common.
    """
    comparison = Comparison()
    for source, result in zip(raw, steady, strict=False):
        comparison.add(source, result)
    return comparison.report(rate)
