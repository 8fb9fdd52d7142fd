"""Writes down the names of a real pycuda, for a test that holds what we call against them.

PYTHON_WITH_PYCUDA tests/tools/pycuda_api.py tests/unit/engines/gpu/api
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pycuda
from pycuda import driver

CLASSES = ("Context", "Device", "DeviceAllocation", "Function", "Module", "Stream", "host_alloc_flags")


def main() -> None:
    """One file a version: the names of the module and of each class."""
    names = {"driver": sorted(n for n in dir(driver) if not n.startswith("_"))}
    names |= {c: sorted(n for n in dir(getattr(driver, c)) if not n.startswith("_")) for c in CLASSES}
    file = Path(sys.argv[1]) / f"pycuda-{pycuda.VERSION_TEXT}.json"
    file.write_text(json.dumps(names, indent=1) + "\n")


if __name__ == "__main__":
    main()
