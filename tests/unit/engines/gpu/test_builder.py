"""Real plans of our networks, by TensorRT-RTX, which needs no card to build them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
import pytest

from flowgimbal.engines import weights
from flowgimbal.engines.engine import EngineError, flow_size
from flowgimbal.engines.gpu import builder
from flowgimbal.engines.gpu.builder import PICTURES, build, shapes_of
from flowgimbal.engines.shapes import COLUMNS, CONDITIONS, KEYS, RAW, ROWS, TAPS
from flowgimbal.engines.timeline import BINS


@pytest.fixture(scope="module")
def trt() -> Any:
    return pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is for Linux on x86-64 alone")


@pytest.mark.parametrize("network", weights.HALF)
def test_a_plan_for_all_batches_is_built(trt: Any, network: str) -> None:
    told: list[tuple[str, int, int]] = []
    plan, _ = build(trt, weights.load(f"half/{network}.onnx"), progress=lambda *step: told.append(step))
    assert len(plan) > 1_000_000
    assert told
    assert all(0 < done <= total for _, done, total in told)


def test_what_is_no_network_is_refused_in_words(trt: Any) -> None:
    with pytest.raises(EngineError, match="tensorrt_rtx cannot read the network: "):
        build(trt, b"no network")


def test_a_network_that_cannot_be_built_is_refused_in_words(trt: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = shapes_of("luma")[1]
    monkeypatch.setattr(builder, "shapes_of", lambda *_: (usual, usual, usual))  # channels that contradict each other
    with pytest.raises(EngineError, match=r"tensorrt_rtx cannot build the network: .*quarter"):
        build(trt, weights.load("half/flow.onnx"))


@pytest.mark.parametrize("picture", [(1280, 720), (720, 1280), (10, 10_000), (10_000, 10), (16, 16), (4096, 2304)])
def test_every_flow_size_is_within_the_profile(picture: tuple[int, int]) -> None:
    width, height = flow_size(*picture)
    (low, _), _, (high, wide) = PICTURES
    assert low <= min(width, height)
    assert height <= high
    assert width <= wide


class NoDriver:
    """As the bindings behave where CUDA does not start."""

    __name__ = "tensorrt"

    class ILogger:
        pass

    @staticmethod
    def Builder(_: Any) -> Any:  # noqa: N802
        raise TypeError("pybind11::init(): factory function returned nullptr")


def test_a_builder_that_cannot_start_says_so() -> None:
    with pytest.raises(EngineError, match="tensorrt cannot start its builder: is there an NVIDIA driver and card"):
        build(NoDriver(), b"")


@pytest.mark.parametrize("network", weights.HALF)
def test_half_precision_costs_next_to_nothing(network: str) -> None:
    rng = np.random.default_rng(7)
    if network == "flow":
        noise = rng.random((2, 1, 176, 320), np.float32)
        features = [
            rng.standard_normal((2, k, 176 // s, 320 // s)) for k, s in zip((1, *KEYS), (1, 4, 8, 16), strict=True)
        ]
        names = ("picture", "quarter", "eighth", "sixteenth")
        inputs = {"luma": noise} | {n: f.astype(np.float32) for n, f in zip(names, features, strict=True)}
        # Matched against itself: motion that there is, not that of noise against noise.
        first = run("flow", inputs)
        inputs |= dict(zip(names, first[3:], strict=True))
        inputs["luma"] = np.roll(noise, (2, -3), (2, 3))
        bound = 0.05  # pixels
    else:
        lattice = np.cumsum(rng.normal(0, 0.05, (2, TAPS, 2, 1, 1)), 1) + np.zeros((2, TAPS, 2, ROWS, COLUMNS))
        conditions = np.array([[0.8, 0, 0, -0.57]] * 2, np.float32)
        assert conditions.shape[1] == CONDITIONS
        inputs = {
            "window": lattice.astype(np.float32),
            "cover": np.ones((2, RAW + BINS), np.float32),
            "conditions": conditions,
        }
        bound = 0.01  # margins
    whole, half = (run(name, inputs) for name in (network, f"half/{network}"))
    assert np.abs(whole[0]).max() > 0.1
    assert np.sqrt(np.mean((whole[0] - half[0]) ** 2)) < bound
    if network == "flow":
        texture = whole[2]
        assert 0.1 < texture[:, [0, 2]].mean() < 1.0
        assert np.sqrt(np.mean((texture - half[2]) ** 2)) < 0.01


def run(name: str, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(weights.load(f"{name}.onnx"), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)
