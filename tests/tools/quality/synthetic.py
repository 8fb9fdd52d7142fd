"""Clips whose right answer is known: a pan of a known shape under recorded shake, and a camera that stands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from flowgimbal.client.steadiness.bands import high_pass
from flowgimbal.client.steadiness.pan import SLOW_HZ
from flowgimbal.engines.motion import basis, lattice
from quality.errors import QualityError

Picture = NDArray[np.uint8]
Series = NDArray[np.float64]

SIZE = (1280, 720)
RATE = 30
SPEED = 300.0
"""Of the pan [px/s]."""

NOISE = 2.0
"""Of the sensor: standard deviation of a pixel, of 255."""

_REST_SECONDS, _RAMP_SECONDS, _EVEN_SECONDS = 1.5, 0.3, 1.2
_MARGIN = 100


def trapezoid(rate: float = RATE, speed: float = SPEED) -> Series:
    """Rest, a pan to the right, rest, a pan back, rest: how far the camera has turned [px], (T,).

    Its speed rises and falls along a line: a trapezoid over time, as is the path.
    """
    knots = [(_REST_SECONDS, 0.0)]
    for direction in (speed, -speed):
        for seconds, end in ((_RAMP_SECONDS, direction), (_EVEN_SECONDS, direction), (_RAMP_SECONDS, 0.0)):
            knots.append((knots[-1][0] + seconds, end))
        knots.append((knots[-1][0] + _REST_SECONDS, 0.0))
    times = np.arange(round(knots[-1][0] * rate)) / rate
    fine = np.arange(0, knots[-1][0], 1e-3)
    speeds = np.interp(fine, [time for time, _ in knots], [value for _, value in knots])
    turned = np.concatenate([[0.0], np.cumsum((speeds[1:] + speeds[:-1]) / 2) * 1e-3])
    return np.asarray(np.interp(times, fine, turned), np.float64)


def recorded_shake(paths: Path, name: str, count: int, rate: float = RATE) -> Series:
    """Eight coefficients a frame (see ``flowgimbal.engines.motion``) of a recorded camera: (count, 8).

    What is slower than half a hertz is taken out: what is slow in the clip is its pan alone. Raises QualityError.
    """
    try:
        with np.load(paths) as recorded:
            steps, own_rate = recorded[name].astype(np.float64), float(recorded[f"rate/{name}"])
    except (OSError, KeyError) as error:
        raise QualityError(f"{paths}: no recorded path {name}") from error
    path = high_pass(np.concatenate([np.zeros((1, 8)), np.cumsum(steps, 0)]), own_rate, SLOW_HZ)
    times = np.arange(count) / rate
    if times[-1] * own_rate > len(path) - 1:
        raise QualityError(f"{paths}: {name} is shorter than {times[-1]:.1f} seconds")
    return np.stack([np.interp(times, np.arange(len(path)) / own_rate, column) for column in path.T], 1)


def panned(photo: Picture, along: Series, shake: Series, seed: int = 1) -> Iterator[Picture]:
    """What a camera of SIZE sees of ``photo``, ``along`` [px] to the right and shaken: (H, W, 3), BGR.

    The photo is scaled until it fills the whole way.
    """
    width, height = SIZE
    wanted = (width + float(np.ptp(along)) + 2 * _MARGIN, height + 2 * _MARGIN)
    scale = max(wanted[0] / photo.shape[1], wanted[1] / photo.shape[0])
    scaled = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    left, top = _MARGIN - float(along.min()), (scaled.shape[0] - height) / 2
    random = np.random.default_rng(seed)
    for x, coefficients in zip(along, shake, strict=True):
        moved = np.array([[1, 0, -left - x], [0, 1, -top], [0, 0, 1.0]])
        matrix = homography(coefficients) @ moved
        seen = cv2.warpPerspective(scaled, matrix, SIZE, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
        yield noisy(cast(Picture, seen), random)


def standing(photo: Picture, count: int, seed: int = 2) -> Iterator[Picture]:
    """One photo, ``count`` times, each time with other noise."""
    width, height = SIZE
    scale = max(width / photo.shape[1], height / photo.shape[0])
    scaled = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    top, left = (scaled.shape[0] - height) // 2, (scaled.shape[1] - width) // 2
    seen = cast(Picture, scaled[top : top + height, left : left + width])
    random = np.random.default_rng(seed)
    for _ in range(count):
        yield noisy(seen, random)


def homography(coefficients: Series) -> Series:
    """The 3x3 matrix, in pixels of SIZE, that moves a picture as the eight coefficients say, as nearly as one can."""
    width, height = SIZE
    points = lattice(5, 7, height / width).reshape(-1, 2).astype(np.float64)
    moved = points + basis(points.astype(np.float32)).astype(np.float64) @ coefficients
    pixels = [place * (width / 2) + [width / 2, height / 2] for place in (points, moved)]
    matrix: Any = cv2.findHomography(pixels[0], pixels[1], 0)[0]
    return np.asarray(matrix, np.float64)


def noisy(picture: Picture, random: np.random.Generator) -> Picture:
    """The picture with a sensor's noise."""
    height, width = picture.shape[:2]
    field = random.standard_normal((height, width, 3), np.float32) * NOISE
    return cast(Picture, np.clip(picture + field + 0.5, 0, 255).astype(np.uint8))
