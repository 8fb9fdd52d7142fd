"""The card's networks, run on the CPU, steady a real clip as the CPU's own do."""

from __future__ import annotations

import copy
from pathlib import Path

import av
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from flowgimbal.client.assets import BUNDLED_CLIP  # noqa: E402
from flowgimbal.engines import weights  # noqa: E402
from flowgimbal.engines.engine import flow_size  # noqa: E402
from flowgimbal.engines.host import shrink  # noqa: E402
from flowgimbal.engines.networks import blocks, card  # noqa: E402
from flowgimbal.engines.networks.flow import FlowNetwork  # noqa: E402
from flowgimbal.engines.networks.half import halve  # noqa: E402
from flowgimbal.engines.onnx import OnnxEngine  # noqa: E402
from flowgimbal.engines.onnx_flow import OnnxFlow  # noqa: E402
from flowgimbal.engines.picture import Layout, Picture  # noqa: E402
from flowgimbal.engines.training.run import load  # noqa: E402
from flowgimbal.server.settings import Settings  # noqa: E402
from flowgimbal.server.stabilizer import Stabilizer  # noqa: E402

CHECKPOINTS = Path(__file__).resolve().parents[4] / "engines" / "checkpoints"

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


def test_no_number_of_the_half_network_is_near_the_end_of_its_range() -> None:
    """ONNX Runtime computes fp16 in fp32 on a CPU, so that only torch shows here what a card would make of it."""
    whole = FlowNetwork().eval()
    load(whole, CHECKPOINTS / "flow.pt")
    half = halve(copy.deepcopy(whole))
    largest = 0.0

    def note(module: object, inputs: object, result: torch.Tensor) -> None:
        nonlocal largest
        largest = max(largest, float(result.abs().max()))

    for module in half.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(note)
    before = None
    with torch.no_grad():
        for picture, _ in frames()[::9]:
            seen = shrink(picture.planes[0], flow_size(*picture.size)).astype(np.float32) / 255
            both = [network.encoder(torch.from_numpy(seen)[None, None]) for network in (whole, half)]
            if before:
                flows = [n.match(*pair).levels[-1][0] for n, *pair in zip((whole, half), before, both, strict=True)]
                assert float((flows[0] - flows[1]).square().mean().sqrt()) < 0.05
            before = both
    assert largest < 65504 / 8


def test_what_a_card_computes_is_what_a_core_does() -> None:
    generator = torch.Generator().manual_seed(5)
    first, second = torch.randn(2, 2, 16, 9, 14, generator=generator)
    flow = 4 * torch.randn(2, 2, 9, 14, generator=generator)
    assert torch.allclose(card.correlate(first, second, 1), blocks.correlate(first, second, 1), atol=1e-6)
    assert torch.allclose(card.warp_features(second, flow), blocks.warp_features(second, flow), atol=1e-5)


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
