"""ONNX Runtime on the CPU: one thread a call, so that streams run side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from flowgimbal.engines import weights
from flowgimbal.engines.engine import EngineError

Tensor = NDArray[np.float32]


def open_session(name: str) -> Any:
    """A session of the weights' file of that name. Raises EngineError."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(weights.load(name), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise EngineError(f"ONNX Runtime cannot load {name}: {error}") from error


def run(session: Any, inputs: dict[str, Tensor]) -> list[Tensor]:
    """All outputs. Raises EngineError."""
    try:
        outputs: list[Tensor] = session.run(None, inputs)
    except Exception as error:
        raise EngineError(f"ONNX Runtime failed: {error}") from error
    return outputs
