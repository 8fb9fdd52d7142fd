"""Writes down the names of real TensorRT bindings, for a test that holds what we call against them.

PYTHON_WITH_THE_BINDINGS tests/tools/trt_api.py tests/unit/engines/gpu/api
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import tensorrt_bindings as trt

CLASSES = (
    "Builder",
    "BuilderFlag",
    "ExecutionContextAllocationStrategy",
    "IBuilderConfig",
    "ICudaEngine",
    "IExecutionContext",
    "IHostMemory",
    "ILogger",
    "INetworkDefinition",
    "IOptimizationProfile",
    "IProgressMonitor",
    "IRuntimeConfig",
    "ITensor",
    "ITimingCache",
    "NetworkDefinitionCreationFlag",
    "OnnxParser",
    "ParserError",
    "Runtime",
)


def main() -> None:
    """One file a version: the names of each class."""
    names = {c: sorted(n for n in dir(getattr(trt, c)) if not n.startswith("_")) for c in CLASSES}
    file = Path(sys.argv[1]) / f"tensorrt-{trt.__version__}.json"
    file.write_text(json.dumps(names, indent=1) + "\n")


if __name__ == "__main__":
    main()
