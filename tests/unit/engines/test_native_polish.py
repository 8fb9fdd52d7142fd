"""The compiled road of the flow network's middle part: it makes of anything what ONNX Runtime makes of it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from flowgimbal.engines import native
from flowgimbal.engines.native.polish import polish
from flowgimbal.engines.onnx_flow import FLOW_FILES, STEP, OnnxFlow
from flowgimbal.engines.onnx_session import open_session, run
from flowgimbal.engines.shapes import STRIDE

pytestmark = pytest.mark.skipif(bool(native.why_not()), reason=f"no compiled road: {native.why_not()}")


def scene(rng: np.random.Generator, rows: int, columns: int) -> list[np.ndarray]:
    """Two soft pictures, a flow between them that is wrong here and there, and a sureness."""
    size = STRIDE * rows, STRIDE * columns
    first = cv2.GaussianBlur(rng.normal(0, 8, size).astype(np.float32), (0, 0), 2)
    second = np.roll(first, (1, 2), (0, 1)) + rng.normal(0, 0.02, size)
    flow = rng.normal([[[2.0]], [[1.0]]], 1.0, (2, rows, columns))
    flow[:, : rows // 4] *= 40  # out of the picture
    scenery = first[None, None], second[None, None], flow[None], rng.normal(0, 3, (1, 1, rows, columns))
    return [part.astype(np.float32) for part in scenery]


@pytest.mark.parametrize(("rows", "columns"), [(44, 80), (80, 44), (4, 4), (12, 20)])
@pytest.mark.parametrize("seed", range(3))
def test_makes_what_onnx_runtime_makes(rows, columns, seed):
    seen = scene(np.random.default_rng(seed), rows, columns)
    change, step, tell = polish(*seen)
    theirs = run(open_session(FLOW_FILES["int8"][1]), dict(zip(STEP, seen, strict=True)))
    assert change == pytest.approx(theirs[0], abs=2e-3)
    assert step == pytest.approx(theirs[1], abs=2e-3)
    assert np.log(tell) == pytest.approx(np.log(theirs[2]), abs=2e-3)


def test_the_network_measures_the_same_with_it_and_without(monkeypatch):
    rng = np.random.default_rng(0)
    big = cv2.GaussianBlur(rng.integers(0, 256, (240, 400), np.uint8), (0, 0), 3)
    first, second = (np.ascontiguousarray(big[20 + d : 196 + d, 30 - d : 350 - d]) for d in (0, 4))
    fields = []
    for reason in ("", "it was not built"):
        monkeypatch.setattr(native, "why_not", lambda reason=reason: reason)
        network = OnnxFlow("int8")
        fields.append(network.flow(second, network.flow(first, None)[1])[0])
    # The gate sees bytes: a rounding error may become the next byte.
    assert fields[0].flow == pytest.approx(fields[1].flow, abs=0.02)
    assert np.median(np.abs(fields[0].flow - fields[1].flow)) < 1e-4
    assert fields[0].scale == pytest.approx(fields[1].scale, rel=0.02)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 3e38])
@pytest.mark.parametrize("which", range(4))
def test_numbers_that_are_none_read_nothing_else(wrong, which):
    rng = np.random.default_rng(0)
    seen = scene(rng, 12, 20)
    seen[which][rng.random(seen[which].shape) < 0.3] = wrong
    assert [part.shape for part in polish(*seen)] == [(1, 2, 12, 20), (1, 2, 12, 20), (1, 3, 12, 20)]
