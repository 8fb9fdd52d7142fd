"""What a level of the flow network sees, compiled: the same as by torch; and the network that is made of it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from both_roads import compiled_alone

torch = pytest.importorskip("torch")

from torch.nn import functional as F  # noqa: E402

from flowgimbal.engines import onnx_flow  # noqa: E402
from flowgimbal.engines.native.compare import compare  # noqa: E402
from flowgimbal.engines.networks.blocks import correlate, warp_features  # noqa: E402
from flowgimbal.engines.onnx_flow import OnnxFlow  # noqa: E402
from flowgimbal.engines.shapes import BLOCK, KEYS, LEVELS, Level  # noqa: E402

pytestmark = compiled_alone

SHARPNESS = 10.0
HIDDEN = 32
Before = tuple[np.ndarray, np.ndarray] | None


def scene(rng: np.random.Generator, channels: int, rows: int, columns: int, first: bool):
    """Keys of two pictures, and what the level before said."""
    keys = rng.normal(0, 1, (1, channels, rows, columns)).astype(np.float32)
    moved = np.roll(keys, (1, -1), (2, 3)) + rng.normal(0, 0.1, keys.shape).astype(np.float32)
    if first:
        return keys, moved, None
    before = (rng.normal(0, spread, (1, n, rows // 2, columns // 2)) for n, spread in ((2, 3), (HIDDEN, 1)))
    return keys, moved, tuple(part.astype(np.float32) for part in before)


@torch.no_grad()
def by_torch(first: np.ndarray, second: np.ndarray, level: Level, before: Before) -> tuple[np.ndarray, np.ndarray]:
    """As ``Refiner.forward`` begins."""
    keys, moved = torch.from_numpy(first), torch.from_numpy(second)
    flow, hidden = torch.zeros_like(keys[:, :2]), keys[:, :0]
    if before:
        flow, hidden = map(torch.from_numpy, before)
        flow = F.interpolate(flow, scale_factor=2.0, mode="bilinear", align_corners=False) * 2.0
        hidden = F.interpolate(hidden, scale_factor=2.0, mode="nearest")
        moved = warp_features(moved, flow)
    cost = correlate(keys, moved, level.radius)
    reach = torch.arange(-level.radius, level.radius + 1.0)
    shifts = torch.cartesian_prod(reach, reach).flip(1).T
    weight = torch.softmax(cost * SHARPNESS, 1)
    match = torch.einsum("bkhw,ck->bchw", weight, shifts)
    context = (keys, moved) if level.context else ()
    return torch.cat([cost, *context, hidden, flow, match], 1).numpy(), (flow + match).numpy()


EVEN = [(44, 80), (80, 44), (22, 40), (2, 2), (6, 30)]
SIZES = {"coarse": [*EVEN, (11, 20), (1, 1), (3, 5)], "middle": EVEN, "fine": EVEN}


@pytest.mark.parametrize(
    ("level", "channels", "rows", "columns"),
    [(level, keys, *size) for level, keys in zip(LEVELS, reversed(KEYS), strict=True) for size in SIZES[level]],
)
def test_a_level_sees_what_it_sees_by_torch(level, channels, rows, columns):
    first, second, before = scene(np.random.default_rng(0), channels, rows, columns, level == "coarse")
    seen, guess = compare(first, second, LEVELS[level], SHARPNESS, before)
    theirs, theirs_guess = by_torch(first, second, LEVELS[level], before)
    used = theirs.shape[1]
    assert seen[:, :used] == pytest.approx(theirs, abs=1e-3)
    assert guess == pytest.approx(theirs_guess, abs=1e-3)
    assert seen.shape[1] % BLOCK == 0
    assert not seen[:, used:].any()


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 3e38, -3e38])
def test_no_flow_leads_out_of_a_map(wrong):
    first, second, before = scene(np.random.default_rng(0), 16, 44, 80, first=False)
    before[0][..., ::3] = wrong
    seen, _ = compare(first, second, LEVELS["middle"], SHARPNESS, before)
    lowest, highest = second.min(), second.max()
    moved = seen[:, 25 + 16 : 25 + 32]
    assert ((lowest - 1e-4 <= moved) & (moved <= highest + 1e-4)).all()


def test_what_does_not_go_together_is_refused():
    first, second, before = scene(np.random.default_rng(0), 16, 44, 80, first=False)
    with pytest.raises(ValueError, match="cannot be compared"):
        compare(first, second[..., 1:], LEVELS["fine"], SHARPNESS, before)
    with pytest.raises(ValueError, match="level before"):
        compare(first, second, LEVELS["fine"], SHARPNESS, (before[0][..., 1:], before[1]))
    with pytest.raises(ValueError, match="level before"):
        compare(first, second, LEVELS["fine"], SHARPNESS, (before[0], before[1][:0]))
    with pytest.raises(ValueError, match="cannot be compared"):
        compare(first.repeat(2, 0), second.repeat(2, 0), LEVELS["fine"], SHARPNESS, None)


def test_with_compiled_parts_the_network_measures_the_same(monkeypatch):
    called: list[str] = []
    for name, real in (("compare", onnx_flow.compare), ("polish", onnx_flow.polish)):
        monkeypatch.setattr(onnx_flow, name, lambda *a, name=name, real=real: (called.append(name), real(*a))[1])
    big = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (240, 400), np.uint8), (0, 0), 3)
    first, second = (np.ascontiguousarray(big[20 + d : 196 + d, 30 - d : 350 - d]) for d in (0, 4))
    fields = []
    for form in ("int8", "int8, compiled between"):
        assert not called
        network = OnnxFlow(form)
        fields.append(network.flow(second, network.flow(first, None)[1])[0])
    assert called == ["compare", "compare", "compare", "polish"] * 2
    # Convolutions see bytes: a rounding error may become the next byte.
    assert fields[0].flow == pytest.approx(fields[1].flow, abs=0.1)
    assert np.median(np.abs(fields[0].flow - fields[1].flow)) < 2e-3
    assert np.median(np.abs(fields[0].scale - fields[1].scale)) < 2e-3
