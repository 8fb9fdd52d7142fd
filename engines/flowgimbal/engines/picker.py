"""Chooses the engine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flowgimbal.engines.dis import DisFlow
from flowgimbal.engines.engine import Engine, FlowField, Luma, Memory
from flowgimbal.engines.onnx import OnnxEngine
from flowgimbal.engines.shapes import COLUMNS, ROWS, STRIDE

ENGINES = ("auto", "cpu", "identity")
FLOWS = ("network", "dis")


class IdentityEngine:
    """Sees no motion and moves nothing: the test double."""

    name = "identity"

    def warm_up(self) -> None:
        """Nothing to warm."""

    def flow(self, luma: Luma, memory: Memory | None) -> tuple[FlowField | None, Memory]:  # noqa: ARG002
        """No motion."""
        cells = (luma.shape[0] // STRIDE, luma.shape[1] // STRIDE)
        return FlowField(np.zeros((2, *cells), np.float32), np.ones(cells, np.float32)), luma.shape

    def warp(self, *_: NDArray[np.float32]) -> NDArray[np.float32]:
        """No offset."""
        return np.zeros((2, ROWS, COLUMNS), np.float32)


def pick(name: str = "auto", flow: str = "network") -> Engine:
    """The engine called ``name`` with ``flow`` for its eyes; raises ValueError for a name that there is not.

    ``auto`` is the CPU engine: this release has no other.
    """
    if name not in ENGINES:
        raise ValueError(f"engine {name!r} is none of {', '.join(ENGINES)}")
    if flow not in FLOWS:
        raise ValueError(f"flow {flow!r} is none of {', '.join(FLOWS)}")
    if name == "identity":
        return IdentityEngine()
    if flow == "dis":
        return OnnxEngine(DisFlow(), name="onnxruntime-cpu+dis")
    return OnnxEngine()
