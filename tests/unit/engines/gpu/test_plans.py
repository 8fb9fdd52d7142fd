"""Plans of TensorRT and TensorRT-RTX as a card runs them: recorded, replayed, refused. Over a fake of both."""

from __future__ import annotations

import numpy as np
import pytest
from fake_card import FakeDriver
from fake_runtimes import FakeLibcuda, FakeTrt

from flowgimbal.engines import weights
from flowgimbal.engines.engine import EngineError
from flowgimbal.engines.gpu.batched import BatchedNetwork
from flowgimbal.engines.gpu.card import Card
from flowgimbal.engines.gpu.kernels import Kernels
from flowgimbal.engines.gpu.runners import PlanRunner
from flowgimbal.engines.gpu.tensors import flow_tensors, warp_tensors
from flowgimbal.engines.onnx import OnnxEngine
from flowgimbal.engines.shapes import COLUMNS, CONDITIONS, RAW, ROWS, TAPS
from flowgimbal.engines.timeline import BINS

RNG = np.random.default_rng(11)


def warp_inputs() -> dict[str, np.ndarray]:
    window = np.cumsum(RNG.normal(0, 0.05, (TAPS, 2, 1, 1)), 0) + np.zeros((TAPS, 2, ROWS, COLUMNS))
    return {
        "window": window.astype(np.float32),
        "cover": np.ones(RAW + BINS, np.float32),
        "conditions": np.array([0.8, 0, 0, -0.57], np.float32)[:CONDITIONS],
    }


def plan_network(
    driver: FakeDriver, trt: FakeTrt, libcuda: FakeLibcuda | None, plan: bytes = b""
) -> tuple[Card, BatchedNetwork]:
    card = Card(driver)
    with card.active():
        kernels = Kernels(driver)
    plan = plan or weights.load("half/warp_dense.onnx")
    return card, BatchedNetwork(card, kernels, lambda lane: PlanRunner(trt, plan, card, lane, libcuda))


def test_a_plan_is_run_recorded_and_replayed(driver: FakeDriver) -> None:
    trt, libcuda = FakeTrt(driver), FakeLibcuda(driver)
    card, network = plan_network(driver, trt, libcuda)
    cpu = OnnxEngine()
    for _ in range(5):
        inputs = warp_inputs()
        offsets = network(warp_tensors(), inputs)["offsets"]
        assert np.abs(offsets - cpu.warp(*inputs.values())).max() < 0.02
    assert trt.executions == 3  # twice to warm up, once to record
    assert libcuda.launches == 3
    network.close()
    card.close()
    assert not driver.live
    assert not libcuda.graphs
    assert not libcuda._recorded


def test_without_a_graph_a_plan_is_run_each_time(driver: FakeDriver) -> None:
    trt = FakeTrt(driver)
    card, network = plan_network(driver, trt, FakeLibcuda(driver, broken="cuStreamEndCapture"))
    expected = OnnxEngine()
    for _ in range(4):
        inputs = warp_inputs()
        offsets = network(warp_tensors(), inputs)["offsets"]
        assert np.abs(offsets - expected.warp(*inputs.values())).max() < 0.02
    assert trt.executions == 6  # and twice for the recording that failed
    network.close()
    card.close()


def test_rtx_is_told_to_record_graphs_itself(driver: FakeDriver) -> None:
    trt = FakeTrt(driver, "tensorrt_rtx")
    card, network = plan_network(driver, trt, None)
    for _ in range(3):
        network(warp_tensors(), warp_inputs())
    assert trt.settings == [2, 1]  # memory by us, graphs by it
    assert trt.executions == 3
    network.close()
    card.close()


def test_a_plan_that_fails_gives_its_reason(driver: FakeDriver) -> None:
    trt = FakeTrt(driver)
    card, network = plan_network(driver, trt, FakeLibcuda(driver))
    trt.refuse = "Error Code 1:\n Cask (failed)"
    with pytest.raises(EngineError, match=r"tensorrt failed: Error Code 1: Cask \(failed\)"):
        network(warp_tensors(), warp_inputs())
    trt.refuse = ""
    assert network(warp_tensors(), warp_inputs())["offsets"].shape == (2, ROWS, COLUMNS)
    with pytest.raises(EngineError, match="tensorrt does not take luma"):
        network(flow_tensors(320, 176), {})
    network.close()
    card.close()


def test_what_is_no_plan_is_refused(driver: FakeDriver) -> None:
    with pytest.raises(EngineError, match="tensorrt cannot load the plan: not a plan"):
        plan_network(driver, FakeTrt(driver), None, b"nothing")
