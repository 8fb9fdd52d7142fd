"""The card's networks, run on the CPU, steady a real clip as the CPU's own do."""

from __future__ import annotations

import av
import numpy as np
import pytest

from flowgimbal.client.assets import BUNDLED_CLIP
from flowgimbal.engines import weights
from flowgimbal.engines.onnx import OnnxEngine, OnnxFlow
from flowgimbal.engines.picture import Layout, Picture
from flowgimbal.server.settings import Settings
from flowgimbal.server.stabilizer import Stabilizer

FRAMES = 45
BOUND = 0.05  # pixels of the clip


@pytest.mark.parametrize("warp", ["dense", "transformer"])
def test_half_precision_moves_no_pixel(warp: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = list(frames())
    meshes = [steady(pictures, warp)]
    whole = weights.load
    monkeypatch.setattr(weights, "load", lambda name: whole(f"half/{name}"))
    meshes.append(steady(pictures, warp))
    assert np.abs(meshes[0] - meshes[0][0]).max() > 1.0  # there was something to steady
    assert np.abs(meshes[0] - meshes[1]).max() < BOUND


def frames() -> list[tuple[Picture, int]]:
    with av.open(str(BUNDLED_CLIP)) as container:
        video = (frame for frame, _ in zip(container.decode(video=0), range(FRAMES), strict=False))
        return [(Picture(Layout.GRAY, (f.to_ndarray(format="gray"),)), int((f.time or 0) * 1e9)) for f in video]


def steady(pictures: list[tuple[Picture, int]], warp: str) -> np.ndarray:
    """The meshes in pixels (frames, rows, cols, 2)."""
    engine = OnnxEngine(OnnxFlow("fp32"), warp=warp)
    size = pictures[0][0].size
    stabilizer = Stabilizer(engine, Settings(), *size)
    warps = [stabilizer.decide(stabilizer.measure(engine.hold(p), time_ns)) for p, time_ns in pictures]
    return np.array([w.mesh for w in warps if w]) * size
