"""The one command for a machine with a card, run where there is none: over the fake of what it calls."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_card import FakeDriver
from fake_runtimes import FakeLibcuda, FakeOrt

from flowgimbal.engines.engine import EngineError
from flowgimbal.engines.gpu import opening

CHECK = Path(__file__).parents[3] / "gpu" / "check.py"
CAMERAS = CHECK.with_name("cameras.py")


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch) -> Any:
    spec = importlib.util.spec_from_file_location("gpu_check", CHECK)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "gpu_check", module)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "SIZES", {"small": (320, 180)})
    monkeypatch.setattr(module, "STREAMS", 3)
    return module


@pytest.fixture
def cuda_alone(driver: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise EngineError(f"{name} not installed")

    monkeypatch.setattr(opening, "find_builder", absent)
    monkeypatch.setattr(opening, "find_cuda_provider", lambda: FakeOrt(driver))
    monkeypatch.setattr(opening, "libcuda", lambda: FakeLibcuda(driver))
    monkeypatch.setattr(opening, "find_driver", lambda: driver)


def test_it_holds_times_and_tells(check: Any, cuda_alone: None, capsys: Any, tmp_path: Path) -> None:
    assert check.main(["--quick", "--out", str(tmp_path / "table.md")]) == 0
    told = capsys.readouterr().out
    assert "tensorrt: not here: tensorrt not installed" in told
    assert "### `cuda`: onnxruntime 1.31.1 on Fake card (8.9)" in told
    assert told.count("held") == 2
    assert "| small |" in (tmp_path / "table.md").read_text()


def test_an_engine_that_disagrees_is_told_by_the_exit_code(
    check: Any, cuda_alone: None, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "MOST_PIXELS", 0.0)
    assert check.main(["--quick", "--engine", "cuda"]) == 1
    assert "**NOT HELD**" in capsys.readouterr().out


def test_without_a_card_it_says_what_is_missing() -> None:
    done = subprocess.run([sys.executable, str(CHECK)], capture_output=True, text=True)
    if done.returncode == 3:
        assert "cuda: not here: " in done.stdout
    assert done.returncode in (0, 3)


def test_cameras_are_answered() -> None:
    """Whether frames are lost is the machine's affair."""
    command = [sys.executable, str(CAMERAS), "--engine", "identity", "--servers", "2", "--cameras", "3"]
    done = subprocess.run([*command, "--frames", "20"], capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    row = re.search(r"\| 2 \| 60 sent, (\d+) back, \d+ dropped \| \d+ ", done.stdout)
    assert row, done.stdout
    assert int(row[1]) > 0
