"""A guard against stabilizing becoming dearer by a lot: CPU time of a frame, in units of a kernel that stays the same.

Both are measured in turns in one thread, so that neither the machine's speed nor its other work matters much; medians
are compared. Speed itself is measured by ``flowgimbal bench``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from itertools import islice

import av
import cv2
import numpy as np

from flowgimbal.client.assets import BUNDLED_CLIP
from flowgimbal.engines.onnx import OnnxEngine
from flowgimbal.engines.picture import Layout, Picture
from flowgimbal.server import process
from flowgimbal.server.settings import Settings
from flowgimbal.server.stabilizer import Stabilizer

WIDTH, HEIGHT = 1280, 720
USUAL = 3.9  # calibrating kernels that a 720p frame cost when this was written
MOST = 2.0  # times that: other processors have other ratios, and the first guess of a fault is a doubling


def calibrating_kernel() -> Callable[[], object]:
    """A product of matrices and a sampling, about two milliseconds: what stabilizing consists of, by size."""
    rng = np.random.default_rng(0)
    matrix = rng.random((384, 384), np.float32)
    picture = rng.integers(0, 256, (HEIGHT, WIDTH), np.uint8)
    x, y = np.meshgrid(np.arange(WIDTH, dtype=np.float32), np.arange(HEIGHT, dtype=np.float32))
    return lambda: (matrix @ matrix, cv2.remap(picture, x + 0.5, y + 0.5, cv2.INTER_LINEAR))


def test_a_frame_costs_no_more_than_it_did() -> None:
    process.tune()
    kernel, engine = calibrating_kernel(), OnnxEngine()
    stabilizer = Stabilizer(engine, Settings(), WIDTH, HEIGHT)
    units, frames = [], []
    for number, picture in enumerate(pictures(40)):
        units.append(cpu_seconds(kernel))
        frames.append(cpu_seconds(partial(stabilize, engine, stabilizer, picture, number)))
    ratio = float(np.median(frames[5:]) / np.median(units[5:]))
    assert ratio < MOST * USUAL, f"a frame costs {ratio:.1f} calibrating kernels, {USUAL} are usual"


def stabilize(engine: OnnxEngine, stabilizer: Stabilizer, picture: Picture, number: int) -> None:
    warp = stabilizer.decide(stabilizer.measure(engine.hold(picture), number * 33_333_333))
    assert warp is not None
    warp.transform(WIDTH, HEIGHT)
    engine.sample(picture, warp.mesh)


def pictures(count: int) -> list[Picture]:
    with av.open(str(BUNDLED_CLIP)) as clip:
        frames = [f.reformat(WIDTH, HEIGHT, "yuv420p").to_ndarray() for f in islice(clip.decode(video=0), count)]
    half = HEIGHT // 2, WIDTH // 2
    return [Picture(Layout.YUV, (f[:HEIGHT], *f[HEIGHT:].reshape(2, *half)), (2, 2)) for f in frames]


def cpu_seconds(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began
