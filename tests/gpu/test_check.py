"""The engines on a real card, as far as pytest needs to know."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flowgimbal.engines.engine import EngineError
from flowgimbal.engines.gpu.opening import GPU_ENGINES, find

CHECK = Path(__file__).with_name("check.py")


@pytest.mark.parametrize("name", GPU_ENGINES)
def test_the_engine_agrees_with_the_cpu(name: str) -> None:
    try:
        find(name)
    except EngineError as error:
        pytest.skip(f"needs an NVIDIA card and its packages: {error}")
    done = subprocess.run([sys.executable, str(CHECK), "--engine", name, "--quick"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
