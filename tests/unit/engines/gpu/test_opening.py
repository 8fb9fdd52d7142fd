"""Who is opened on which machine, and what is said where that cannot be."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fake_card import FakeDriver
from fake_runtimes import FakeLibcuda, FakeOrt, FakeTrt

from flowgimbal.engines import info, weights
from flowgimbal.engines.engine import EngineError
from flowgimbal.engines.gpu import opening, plans, surroundings
from flowgimbal.engines.gpu.opening import GPU_ENGINES, open_gpu
from flowgimbal.engines.picker import pick
from flowgimbal.engines.picture import Layout, Picture


@pytest.fixture
def libcuda(driver: FakeDriver) -> FakeLibcuda:
    return FakeLibcuda(driver)


@pytest.fixture
def machine(
    driver: FakeDriver, libcuda: FakeLibcuda, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., FakeDriver]:
    """A machine with a card and the modules that are named; TensorRT's plans are the networks themselves."""

    def install(*modules: Any) -> FakeDriver:
        def find(name: str) -> Any:
            for module in modules:
                if module.__name__ == name:
                    return module
            raise EngineError(f"{name} not installed")

        monkeypatch.setattr(opening, "find_builder", find)
        monkeypatch.setattr(opening, "find_cuda_provider", lambda: find("onnxruntime"))
        monkeypatch.setattr(opening, "find_driver", lambda: driver)
        monkeypatch.setattr(opening, "libcuda", lambda: libcuda)
        monkeypatch.setattr(plans, "build", lambda trt, onnx, **_: (onnx, b"timings"))
        monkeypatch.setenv("FLOWGIMBAL_ENGINE_CACHE", str(tmp_path))
        return driver

    return install


@pytest.mark.parametrize("warp", ["dense", "homography", "transformer"])
@pytest.mark.parametrize("name", GPU_ENGINES)
def test_each_engine_opens_measures_and_closes(
    machine: Any, driver: FakeDriver, libcuda: FakeLibcuda, name: str, warp: str
) -> None:
    machine(FakeTrt(driver), FakeTrt(driver, "tensorrt_rtx"), FakeOrt(driver))
    engine = open_gpu(name, warp)
    assert engine.name == {"cuda": "onnxruntime-cuda"}.get(name, name)
    noise = np.random.default_rng(2).integers(0, 256, (64, 80), np.uint8)
    pictures = [Picture(Layout.GRAY, (np.kron(np.roll(noise, i, 1), np.ones((4, 4), np.uint8)),)) for i in range(2)]
    memory = engine.measure(engine.hold(pictures[0]), None).memory
    field = engine.measure(engine.hold(pictures[1]), memory).field
    assert field is not None
    assert np.median(field.flow[0]) == pytest.approx(4 * 288 / 320, abs=0.3)
    assert bool(libcuda.launches) == (name != "tensorrt_rtx")  # that one records by itself
    engine.close()
    del memory
    assert not driver.live


def test_auto_takes_the_first_that_runs(machine: Any, driver: FakeDriver, tmp_path: Path) -> None:
    broken = FakeTrt(driver)
    broken.refuse = "no kernel image for this card"
    machine(broken, FakeOrt(driver))
    engine = pick("auto")
    assert engine.name == "onnxruntime-cuda"
    engine.close()
    gc.collect()  # what failed is still in the error's traceback
    assert not driver.live
    machine(FakeTrt(driver), FakeOrt(driver))
    engine = pick("auto")
    assert engine.name == "tensorrt"
    engine.close()
    machine()
    assert pick("auto").name == "onnxruntime-cpu"


def test_an_engine_that_was_asked_for_is_not_replaced(machine: Any, driver: FakeDriver) -> None:
    broken = FakeTrt(driver)
    broken.refuse = "no kernel image for this card"
    machine(broken)
    try:
        pick("tensorrt")
    except EngineError as error:
        complaint = str(error)
    assert complaint == "tensorrt failed: no kernel image for this card"
    gc.collect()
    assert not driver.live
    with pytest.raises(EngineError, match="tensorrt_rtx not installed"):
        pick("tensorrt_rtx")
    with pytest.raises(ValueError, match="flow 'dis' runs on the CPU alone"):
        pick("tensorrt", "dis")
    assert pick("auto", "dis").name == "onnxruntime-cpu+dis"


def test_plans_are_built_once(machine: Any, driver: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(FakeTrt(driver))
    built: list[bytes] = []
    monkeypatch.setattr(plans, "build", lambda trt, onnx, **_: (built.append(onnx), (onnx, b""))[1])
    for _ in range(2):
        open_gpu("tensorrt", "dense").close()
    assert built == [weights.load("half/flow.onnx"), weights.load("half/warp_dense.onnx")]
    assert "tensorrt          used; tensorrt 10.16.1.11 on Fake card (8.9)" in info.describe()


def test_a_folder_of_plans_that_cannot_be_written_is_named(
    machine: Any, driver: FakeDriver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine(FakeTrt(driver))
    (tmp_path / "file").touch()
    monkeypatch.setenv("FLOWGIMBAL_ENGINE_CACHE", str(tmp_path / "file" / "folder"))
    with pytest.raises(EngineError, match=r"cannot keep the plan: .*FLOWGIMBAL_ENGINE_CACHE names another folder"):
        open_gpu("tensorrt", "dense")
    assert not driver.live


def test_an_onnx_runtime_without_cuda_is_told_from_one_with(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineError, match="pip install onnxruntime-gpu in place of onnxruntime"):
        surroundings.find_cuda_provider()


def test_a_card_that_rtx_has_no_kernels_for_is_refused(
    machine: Any, driver: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(FakeTrt(driver, "tensorrt_rtx"))
    monkeypatch.setattr(opening, "find_card", lambda *_: "NVIDIA H200 (9.0)")
    with pytest.raises(EngineError, match=r"TensorRT-RTX does not support NVIDIA H200 \(9\.0\)"):
        open_gpu("tensorrt_rtx", "dense")


def test_whatever_goes_wrong_the_reason_is_an_engine_error(
    machine: Any, driver: FakeDriver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    machine(FakeTrt(driver))
    monkeypatch.setattr(driver, "Device", lambda _: SimpleNamespace(retain_primary_context=lambda: 1 / 0))
    monkeypatch.setattr(opening, "find_card", lambda *_: "NVIDIA Test Card (8.9)")
    with pytest.raises(EngineError, match=r"tensorrt on NVIDIA Test Card .*ZeroDivisionError"):
        open_gpu("tensorrt", "dense")
    assert pick("auto").name == "onnxruntime-cpu"
    assert "tensorrt is here but does not work" in caplog.text
