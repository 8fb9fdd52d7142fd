"""Camera paths measured from real clips: ``flowgimbal train paths --clips DIR --out FILE``.

Only numbers are kept (eight coefficients a frame, see ``motion.py``), no pixels. Corners are tracked by KLT with a
forward-backward check; the motion of a frame is a RANSAC homography, zero where too few corners agree.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from flowgimbal.engines.motion import basis, lattice

WIDTH = 640


def record(clip: Path) -> tuple[NDArray[np.float32], float]:
    """Motion of every frame but the first, float32 (frames - 1, 8), and the frame rate in Hz."""
    steps = []
    before = None
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        rate = float(stream.average_rate or 30)
        for frame in container.decode(stream):
            height = max(2, round(frame.height * WIDTH / frame.width))
            gray = cv2.resize(frame.to_ndarray(format="gray"), (WIDTH, height), interpolation=cv2.INTER_AREA)
            luma = gray.astype(np.uint8, copy=False)
            if before is not None:
                steps.append(_motion(before, luma))
            before = luma
    return np.array(steps, np.float32), rate


def _motion(before: NDArray[np.uint8], now: NDArray[np.uint8]) -> NDArray[np.float32]:
    corners = cv2.goodFeaturesToTrack(before, 500, 0.005, 8)
    if corners is None or len(corners) < 16:
        return np.zeros(8, np.float32)
    there, ok = _track(before, now, corners)
    back, ok_back = _track(now, before, there)
    good = ok & ok_back & (np.linalg.norm((corners - back).reshape(-1, 2), axis=1) < 0.7)
    p, q = corners.reshape(-1, 2)[good], there.reshape(-1, 2)[good]
    if len(p) < 16:
        return np.zeros(8, np.float32)
    cv2.setRNGSeed(1)
    homography, inliers = cv2.findHomography(p, q, cv2.RANSAC, 2.0, maxIters=1000)
    if homography is None or inliers.sum() < 12:
        return np.zeros(8, np.float32)
    height, half = before.shape[0], WIDTH / 2
    points = lattice(5, 7, height / WIDTH, extent=0.8).reshape(-1, 2)
    pixels = points * half + [half, height / 2]
    moved = cv2.perspectiveTransform(pixels[None].astype(np.float64), homography)[0]
    step = (moved - pixels) / half
    if not np.isfinite(step).all() or np.abs(step).max() > 1.0:
        return np.zeros(8, np.float32)
    coefficients, *_ = np.linalg.lstsq(basis(points).reshape(-1, 8), step.reshape(-1), rcond=None)
    return np.asarray(coefficients, np.float32)


def _track(before: NDArray[np.uint8], now: NDArray[np.uint8], corners: Any) -> tuple[Any, NDArray[np.bool_]]:
    there = np.empty_like(corners)
    there, ok, _ = cv2.calcOpticalFlowPyrLK(before, now, corners, there, winSize=(21, 21), maxLevel=4)
    return there, np.asarray(ok).ravel() == 1


def main(argv: Sequence[str] | None = None) -> int:
    """Measure every clip of a folder and write one npz: per clip an array, and ``rate/NAME``."""
    parser = argparse.ArgumentParser(prog="flowgimbal train paths", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clips", type=Path, nargs="+", required=True, help="folders of clips")
    parser.add_argument("--out", type=Path, required=True, help="npz file")
    args = parser.parse_args(argv)
    arrays: dict[str, Any] = {}
    for clip in sorted(p for folder in args.clips for p in folder.iterdir() if p.is_file()):
        steps, rate = record(clip)
        arrays[f"{clip.parent.name}/{clip.stem}"] = steps.astype(np.float16)
        arrays[f"rate/{clip.parent.name}/{clip.stem}"] = np.float32(rate)
        sys.stderr.write(f"{clip.name}: {len(steps)} steps at {rate:.2f} Hz\n")
    np.savez_compressed(args.out, **arrays)
    return 0


if __name__ == "__main__":
    sys.exit(main())
