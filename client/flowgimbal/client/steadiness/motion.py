"""How the camera moved from picture to picture: tracked corners and a robust homography."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from flowgimbal.client.steadiness.gray import UNIT, Gray

Points = NDArray[np.float32]
Matrix = NDArray[np.float64]

_CORNERS = 600
_ENOUGH_FOR_HOMOGRAPHY, _ENOUGH_FOR_SIMILARITY, _ENOUGH = 16, 6, 12
_TRACKER = {
    "winSize": (21, 21),
    "maxLevel": 4,
    "criteria": (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 30, 0.01),
}
_THERE_AND_BACK = 0.7
"""A corner counts if tracking it back ends this near to its start [px]."""


@dataclass
class Camera:
    """Takes in one picture after the other and adds up the camera's path at nine points of the picture."""

    _last: Gray | None = None
    _path: list[Matrix] = field(default_factory=lambda: [np.zeros((9, 2))])
    _steps: list[Matrix] = field(default_factory=list)
    _residuals: list[float] = field(default_factory=list)

    def add(self, picture: Gray) -> None:
        """Measure the motion since the picture before."""
        last, self._last = self._last, picture
        if last is None:
            return
        points = nine_points(*picture.shape)
        matrix, residual = between(last, picture)
        step = project(matrix, points) - points
        if not np.isfinite(step).all() or np.abs(step).max() > 0.5 * picture.shape[1]:  # a cut, or a fit gone astray
            matrix, step = np.eye(3), np.zeros_like(points)
        self._path.append(self._path[-1] + step)
        self._steps.append(matrix)
        self._residuals.append(residual)

    def until(self, count: int) -> Camera:
        """What was measured of the first ``count`` pictures."""
        return Camera(None, self._path[:count], self._steps[: count - 1], self._residuals[: count - 1])

    @property
    def path(self) -> Matrix:
        """Where the nine points went: float64 (T, 9, 2), px at a width of 640."""
        return np.stack(self._path)

    @property
    def steps(self) -> list[Matrix]:
        """The homography of each step, picture before -> picture, (3, 3)."""
        return self._steps

    @property
    def residual(self) -> float:
        """RMS of the motion that no homography explains, px of a 1280 px wide picture; nan if none is known."""
        known = np.array([value for value in self._residuals if np.isfinite(value)])
        return float(np.sqrt((known**2).mean())) * UNIT if len(known) else float("nan")


def nine_points(height: int, width: int) -> Matrix:
    """The points at which a path is taken, in a picture of that size: float64 (9, 2), the middle one the fifth."""
    x, y = np.meshgrid(np.linspace(0.15, 0.85, 3) * width, np.linspace(0.15, 0.85, 3) * height)
    return np.stack([x.ravel(), y.ravel()], 1)


def between(before: Gray, after: Gray) -> tuple[Matrix, float]:
    """The homography ``before`` -> ``after``, and the median distance [px] that it leaves at its inliers (or nan)."""
    p, q = track(before, after)
    matrix, inliers = _fit(p, q)
    if inliers.sum() < _ENOUGH:
        return matrix, float("nan")
    misses = np.linalg.norm(project(matrix, p[inliers]) - q[inliers], axis=1)
    return matrix, float(np.median(misses))


def track(before: Gray, after: Gray) -> tuple[Points, Points]:
    """Corners of ``before`` and where they are in ``after``: float32 (N, 2) twice, those only that track back again."""
    height, width = before.shape
    inner = np.zeros_like(before)
    inner[int(0.04 * height) : int(0.96 * height), int(0.04 * width) : int(0.96 * width)] = 255
    corners = cv2.goodFeaturesToTrack(before, _CORNERS, 0.005, 8, mask=inner)
    if corners is None or len(corners) < _ENOUGH:
        return np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32)
    found, seen, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, None, **_TRACKER)  # type: ignore[call-overload]
    again, seen_again, _ = cv2.calcOpticalFlowPyrLK(after, before, found, None, **_TRACKER)  # type: ignore[call-overload]
    p, q, r = (np.asarray(points, np.float32).reshape(-1, 2) for points in (corners, found, again))
    good = (seen.ravel() == 1) & (seen_again.ravel() == 1) & (np.linalg.norm(p - r, axis=1) < _THERE_AND_BACK)
    return p[good], q[good]


def project(matrix: Matrix, points: NDArray[np.floating]) -> Matrix:
    """``points`` (N, 2) seen through a homography: float64 (N, 2)."""
    return cast(Matrix, cv2.perspectiveTransform(points[None].astype(np.float64), matrix)[0])


def _fit(p: Points, q: Points) -> tuple[Matrix, NDArray[np.bool_]]:
    """A homography; with few corners a similarity, with fewer the identity. And who of the corners agrees."""
    if len(p) >= _ENOUGH_FOR_HOMOGRAPHY:
        matrix, mask = cv2.findHomography(p, q, cv2.RANSAC, 2.0, maxIters=1000)
        if matrix is not None and mask.sum() >= _ENOUGH and np.linalg.cond(matrix) < 1e7:
            return cast(Matrix, matrix), mask.ravel().astype(bool)
    if len(p) >= _ENOUGH_FOR_SIMILARITY:
        affine, mask = cv2.estimateAffinePartial2D(p, q, ransacReprojThreshold=2.0)
        if affine is not None:
            return np.vstack([affine, [0.0, 0.0, 1.0]]), mask.ravel().astype(bool)
    return np.eye(3), np.zeros(len(p), bool)
