"""What the figures were taken on, in words."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

_PARTS = ("numpy", "opencv-python-headless", "onnxruntime", "av")


def described() -> str:
    """Processor, cores and the versions that pixels depend on."""
    parts = ", ".join(f"{name} {version(name)}" for name in _PARTS)
    return f"{_processor()}, {os.cpu_count()} cores, {platform.system()}; Python {platform.python_version()}, {parts}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
