"""Every name that is called of TensorRT and pycuda, held against the real ones. A typo must not wait for a card.

``tests/tools/trt_api.py`` and ``tests/tools/pycuda_api.py`` have written down what the real modules have.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from flowgimbal.engines.gpu.kernels import SIGNATURES, ptx

API = Path(__file__).parent / "api"
SOURCES = Path(str(resources.files("flowgimbal.engines.gpu")))
TENSORRT = sorted(API.glob("tensorrt-*.json"))
PYCUDA = sorted(API.glob("pycuda-*.json"))

# What our variables, attributes and fields hold.
OF_TENSORRT = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "parser": "OnnxParser",
    "config": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "cache": "ITimingCache",
    "tensor": "ITensor",
    "_runtime": "Runtime",
    "_engine": "ICudaEngine",
    "context": "IExecutionContext",
    "settings": "IRuntimeConfig",
}
OF_PYCUDA = {
    "driver": "driver",
    "device": "Device",
    "_context": "Context",
    "stream": "Stream",
    "memory": "DeviceAllocation",
    "_module": "Module",
    "_functions": "Function",
    "host_alloc_flags": "host_alloc_flags",
}
RTX_ALONE = {
    ("trt", "CudaGraphStrategy"),
    ("CudaGraphStrategy", "WHOLE_GRAPH_CAPTURE"),
    ("settings", "cuda_graph_strategy"),
}


def used(*files: str) -> set[tuple[str, str]]:
    """(owner, name) of every attribute that is taken: ``self._engine.close`` is ("_engine", "close")."""
    found = set()
    for file in files:
        for node in ast.walk(ast.parse((SOURCES / file).read_text())):
            if isinstance(node, ast.Attribute) and not node.attr.startswith("__"):
                owner = node.value.value if isinstance(node.value, ast.Subscript) else node.value
                if isinstance(owner, (ast.Name, ast.Attribute)):
                    name = owner.id if isinstance(owner, ast.Name) else owner.attr
                    found.add(("trt" if name == "_trt" else name, node.attr))
    return found


def of_tensorrt() -> set[tuple[str, str]]:
    return used("builder.py", "complaints.py", "runners.py")


@pytest.mark.parametrize("file", TENSORRT, ids=lambda file: file.stem)
def test_every_name_of_tensorrt_is_there(file: Path) -> None:
    real = json.loads(file.read_text())
    owners = set()
    for owner, name in of_tensorrt() - RTX_ALONE:
        if owner == "trt":
            assert name in real, f"there is no trt.{name}"
        elif owner in OF_TENSORRT or owner in real:
            assert name in real[OF_TENSORRT.get(owner, owner)], f"{owner} has no {name}"
        else:
            continue
        owners.add(owner)
    assert {*OF_TENSORRT, "trt", "NetworkDefinitionCreationFlag", "ExecutionContextAllocationStrategy"} <= owners
    assert {"phase_start", "step_complete", "phase_finish"} <= set(real["IProgressMonitor"])
    assert "log" in real["ILogger"]
    assert "desc" in real["ParserError"]


def test_every_name_of_tensorrt_rtx_is_there() -> None:
    trt = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is for Linux on x86-64 alone")
    assert of_tensorrt() >= RTX_ALONE
    for owner, name in of_tensorrt():
        if owner == "trt" or owner in OF_TENSORRT or hasattr(trt, owner):
            of: Any = trt if owner == "trt" else getattr(trt, OF_TENSORRT.get(owner, owner))
            assert hasattr(of, name), f"{owner} has no {name}"


@pytest.mark.parametrize("file", PYCUDA, ids=lambda file: file.stem)
def test_every_name_of_pycuda_is_there(file: Path) -> None:
    real = json.loads(file.read_text())
    calls = used("card.py", "kernels.py", "batched.py", "runners.py", "surroundings.py")
    owners = set()
    for owner, name in calls:
        if owner in OF_PYCUDA:
            owners.add(owner)
            assert name in real[OF_PYCUDA[owner]], f"{owner} has no {name}"
    assert owners == set(OF_PYCUDA)


def test_the_versions_that_we_promise_are_looked_at() -> None:
    assert [re.match(r"tensorrt-(\d+\.\d+)", file.stem)[1] for file in TENSORRT] == ["10.16", "11.4"]  # type: ignore[index]
    assert PYCUDA


def test_the_kernels_are_those_of_the_source() -> None:
    source = (SOURCES / "kernels.cu").read_bytes()
    compiled = ptx().decode()
    assert compiled.splitlines()[0].endswith(hashlib.sha256(source).hexdigest()), "run `make ptx`"
    assert set(re.findall(r"\.entry (\w+)\(", compiled)) == set(SIGNATURES)
    assert ".target sm_75" in compiled
