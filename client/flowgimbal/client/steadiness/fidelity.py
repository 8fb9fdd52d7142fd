"""What the steady picture shows of the raw one, and how straight."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np

from flowgimbal.client.steadiness.gray import Gray
from flowgimbal.client.steadiness.motion import Matrix, project

_MATCHES = 16
_INLIERS = 14


def alignment(raw: Gray, steady: Gray) -> Matrix | None:
    """The homography raw -> steady, by matching SIFT features; None where too few agree."""
    sift = cv2.SIFT_create(1500)  # type: ignore[attr-defined]
    raw_points, raw_marks = sift.detectAndCompute(raw, None)
    points, marks = sift.detectAndCompute(steady, None)
    if raw_marks is None or marks is None or min(len(raw_marks), len(marks)) < _MATCHES:
        return None
    pairs = [pair for pair in cv2.BFMatcher().knnMatch(raw_marks, marks, 2) if len(pair) == 2]
    good = [best for best, second in pairs if best.distance < 0.7 * second.distance]
    if len(good) < _MATCHES:
        return None
    p = np.array([raw_points[match.queryIdx].pt for match in good], np.float32)
    q = np.array([points[match.trainIdx].pt for match in good], np.float32)
    matrix, mask = cv2.findHomography(p, q, cv2.RANSAC, 3.0)
    if matrix is None or mask.sum() < _INLIERS:
        return None
    return cast(Matrix, matrix / matrix[2, 2])


def field_of_view(matrix: Matrix, width: int, height: int) -> float:
    """Side length of what the steady picture shows of the raw one, relative to it: sqrt of the shared area."""
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    seen = project(np.linalg.inv(matrix).astype(np.float64), corners).astype(np.float32)
    area, _ = cv2.intersectConvexConvex(seen, corners.astype(np.float32))
    return float(np.sqrt(max(0.0, area / (width * height))))


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
