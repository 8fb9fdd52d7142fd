"""What the steady picture shows of the raw one, and how straight."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from flowgimbal.client.steadiness.gray import Gray
from flowgimbal.client.steadiness.motion import Matrix, project

_MATCHES = 16
_INLIERS = 14


@dataclass(frozen=True)
class Features:
    """SIFT features of a picture: where, float32 (N, 2), and what they look like, float32 (N, 128)."""

    points: NDArray[np.float32]
    marks: NDArray[np.float32]


def features(picture: Gray) -> Features:
    """The 1500 strongest, fewer where there are not as many."""
    sift = cv2.SIFT_create(1500)  # type: ignore[attr-defined]
    points, marks = sift.detectAndCompute(picture, None)
    if marks is None:
        return Features(np.zeros((0, 2), np.float32), np.zeros((0, 128), np.float32))
    return Features(np.array([point.pt for point in points], np.float32), marks)


def alignment(raw: Gray, steady: Gray) -> Matrix | None:
    """The homography raw -> steady, by matching SIFT features; None where too few agree."""
    return match(features(raw), features(steady))


def match(raw: Features, steady: Features) -> Matrix | None:
    """As ``alignment``, of pictures whose features are known."""
    if min(len(raw.points), len(steady.points)) < _MATCHES:
        return None
    pairs = [pair for pair in cv2.BFMatcher().knnMatch(raw.marks, steady.marks, 2) if len(pair) == 2]
    good = [best for best, second in pairs if best.distance < 0.7 * second.distance]
    if len(good) < _MATCHES:
        return None
    p = raw.points[[pair.queryIdx for pair in good]]
    q = steady.points[[pair.trainIdx for pair in good]]
    matrix, mask = cv2.findHomography(p, q, cv2.RANSAC, 3.0)
    if matrix is None or mask.sum() < _INLIERS:
        return None
    return cast(Matrix, matrix / matrix[2, 2])


def moved(matrix: Matrix, width: int, height: int) -> Matrix:
    """By how much the picture's centre shows other content than before: float64 (2,), px of the raw picture.

    Positive where the content was moved right or down. Zooming and turning about the centre move nothing.
    """
    centre = np.array([[width / 2, height / 2]])
    return cast(Matrix, (centre - project(np.linalg.inv(matrix).astype(np.float64), centre))[0])


def field_of_view(matrix: Matrix, width: int, height: int) -> float:
    """Side length of what the steady picture shows of the raw one, relative to it: sqrt of the shared area."""
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    seen = project(np.linalg.inv(matrix).astype(np.float64), corners)
    # Not cv2.intersectConvexConvex: of two shapes a thousandth of a pixel apart it may find no intersection at all.
    for axis, limit in ((0, width), (1, height)):
        seen = _cut(seen, seen[:, axis])
        seen = _cut(seen, limit - seen[:, axis])
    x, y = seen.T
    area = abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
    return math.sqrt(area / (width * height))


def _cut(shape: Matrix, inside: Matrix) -> Matrix:
    """The part of a convex polygon (N, 2) where a linear function, given at its corners, is not negative."""
    kept = []
    for here, there, a, b in zip(shape, np.roll(shape, -1, 0), inside, np.roll(inside, -1), strict=True):
        if a >= 0:
            kept.append(here)
        if (a < 0) != (b < 0):
            kept.append(here + (there - here) * (a / (a - b)))
    return np.array(kept).reshape(-1, 2)


def distortion(matrix: Matrix) -> float:
    """Ratio of the two stretches of a homography's affine part: 1 keeps shapes."""
    stretches = np.linalg.svd(matrix[:2, :2], compute_uv=False)
    return float(stretches[1] / stretches[0])


def black(picture: Gray) -> float:
    """Share of the pixels in black regions that touch the border."""
    count, labels = cv2.connectedComponents((picture <= 2).astype(np.uint8))
    if count == 1:
        return 0.0
    border = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    return float(np.isin(labels, border[border > 0]).mean())


def likeness(before: Gray, after: Gray) -> float:
    """PSNR [dB] between two pictures, over their inner 80 %."""
    height, width = before.shape
    inner = np.s_[int(0.1 * height) : int(0.9 * height), int(0.1 * width) : int(0.9 * width)]
    error = float(np.mean((before[inner].astype(np.float32) - after[inner]) ** 2))
    return float(10 * np.log10(255**2 / max(error, 1e-3)))
