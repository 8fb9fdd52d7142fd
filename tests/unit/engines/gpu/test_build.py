"""``engines build`` where there is no card or no package, and, with a driver made up, on from there."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

import pytest

from flowgimbal.client.cli.main import main
from flowgimbal.engines import info, weights
from flowgimbal.engines.gpu import surroundings


class Driver(ModuleType):
    """As much of ``pycuda.driver`` as finding a card takes."""

    class Error(Exception):
        pass

    cards = ("NVIDIA Test Card",)

    def init(self) -> None:
        if not self.cards:
            raise self.Error("no CUDA-capable device is detected")

    def Device(self, index: int) -> Any:  # noqa: N802
        if index >= len(self.cards):
            raise self.Error("invalid device ordinal")
        card = ModuleType("card")
        card.name = lambda: self.cards[index]  # type: ignore[attr-defined]
        card.compute_capability = lambda: (8, 9)  # type: ignore[attr-defined]
        return card


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Driver:
    package, driver = ModuleType("pycuda"), Driver("pycuda.driver")
    package.__spec__ = ModuleSpec("pycuda", None)
    monkeypatch.setitem(sys.modules, "pycuda", package)
    monkeypatch.setitem(sys.modules, "pycuda.driver", driver)
    monkeypatch.setenv("FLOWGIMBAL_ENGINE_CACHE", str(tmp_path))
    return driver


def missing(*names: str) -> Any:
    return lambda name: None if name in names else ModuleSpec(name, None)


@pytest.mark.parametrize(
    ("absent", "says"),
    [
        (("tensorrt", "tensorrt_rtx"), "pip install 'flowgimbal[gpu]', or 'flowgimbal[rtx]' for a GeForce or RTX card"),
        (("tensorrt", "pycuda"), "pycuda is not installed: pip install 'flowgimbal[gpu]'"),
    ],
)
def test_what_is_missing_is_named(absent, says, monkeypatch, capsys):
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is for Linux on x86-64 alone")
    monkeypatch.setattr(surroundings, "find_spec", missing(*absent))
    assert main(["engines", "build"]) == 3
    complaint = capsys.readouterr().err
    assert says in complaint
    assert complaint.count("\n") == 1


def test_no_card_is_said(driver, monkeypatch, capsys):
    pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is for Linux on x86-64 alone")
    monkeypatch.setattr(driver, "cards", ())
    assert main(["engines", "build", "--builder", "tensorrt_rtx"]) == 3
    assert "no NVIDIA card here: no CUDA-capable device is detected" in capsys.readouterr().err
    monkeypatch.setattr(driver, "cards", ("NVIDIA Test Card",))
    assert main(["engines", "build", "--builder", "tensorrt_rtx", "--card", "1"]) == 3
    assert "no NVIDIA card 1 here: invalid device ordinal" in capsys.readouterr().err


def test_plans_are_built_once_and_told_of(driver, capsys):
    trt = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is for Linux on x86-64 alone")
    build = ["engines", "build", "--builder", "tensorrt_rtx"]
    assert main(build) == 0
    first = capsys.readouterr().out
    assert f"tensorrt_rtx {trt.__version__} for NVIDIA Test Card (8.9)" in first
    assert first.count("not built yet") == len(weights.HALF)
    assert main(build) == 0
    assert capsys.readouterr().out.count("is there") == len(weights.HALF)
    lines = "\n".join(info.describe())
    assert f"tensorrt_rtx      used; tensorrt_rtx {trt.__version__} on NVIDIA Test Card (8.9)" in lines
    assert "onnxruntime-cpu   not used: tensorrt_rtx goes before" in lines
    assert lines.count("  built") == len(weights.HALF)
    driver.cards = ("NVIDIA Another Card",)
    assert "not built for this card and version (1 for others)" in "\n".join(info.describe())
