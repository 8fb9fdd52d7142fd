"""What a machine has of that which a card needs: driver, card, and a module that builds plans for it."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from flowgimbal.engines.engine import EngineError

FATAL = 4  # of ONNX Runtime's severities; errors are raised as well
BUILDERS = ("tensorrt", "tensorrt_rtx")  # by preference


def find_builder(name: str = "") -> Any:
    """The module that builds plans: the one called ``name``, or the first that is installed. Raises EngineError."""
    if name and name not in BUILDERS:
        raise EngineError(f"builder {name!r} is none of {', '.join(BUILDERS)}")
    wanted = (name,) if name else BUILDERS
    for module in wanted:
        if find_spec(module) is not None:
            try:
                return import_module(module)
            except (ImportError, OSError, RuntimeError) as error:
                raise EngineError(f"{module} is installed but cannot be loaded: {error}") from error
    raise EngineError(
        f"{' and '.join(wanted)} not installed: "
        "pip install 'flowgimbal[gpu]', or 'flowgimbal[rtx]' for a GeForce or RTX card"
    )


def find_driver() -> Any:
    """``pycuda.driver``, initialised. Raises EngineError."""
    if find_spec("pycuda") is None:
        raise EngineError("pycuda is not installed: pip install 'flowgimbal[gpu]'")
    try:
        driver = import_module("pycuda.driver")
    except ImportError as error:
        if "libcuda" in str(error):
            raise EngineError(f"no NVIDIA driver here ({error}): install the card's driver, 580 or newer") from error
        raise EngineError(f"pycuda is installed but cannot be loaded: {error}") from error
    try:
        driver.init()
    except driver.Error as error:
        raise EngineError(f"no NVIDIA card here: {error}") from error
    return driver


def find_card(driver: Any, index: int = 0) -> str:
    """Name and compute capability of the card, as ``NVIDIA X (9.0)``. Raises EngineError."""
    try:
        device = driver.Device(index)
        major, minor = device.compute_capability()
    except driver.Error as error:
        raise EngineError(f"no NVIDIA card {index} here: {error}") from error
    return f"{device.name()} ({major}.{minor})"


def check_supported(builder: str, card: str) -> None:
    """Refuse a card that the builder has no kernels for. Raises EngineError."""
    if builder == "tensorrt_rtx" and card.endswith(("(9.0)", "(10.0)", "(10.3)")):
        raise EngineError(f"TensorRT-RTX does not support {card}: pip install 'flowgimbal[gpu]' for TensorRT")


def find_cuda_provider() -> Any:
    """``onnxruntime``, if it has the CUDA provider. Raises EngineError."""
    ort = import_module("onnxruntime")
    if "CUDAExecutionProvider" not in ort.get_available_providers():
        raise EngineError("this ONNX Runtime has no CUDA provider: pip install onnxruntime-gpu in place of onnxruntime")
    ort.set_default_logger_severity(FATAL)  # cuDNN's front end complains of each plan that it tries in vain
    with redirect_stdout(sys.stderr):
        ort.preload_dlls()  # cuDNN and cuBLAS, from where pip has put them; prints what it does not find
    return ort
