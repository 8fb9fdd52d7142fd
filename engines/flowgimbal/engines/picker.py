"""Chooses the engine: the card's if there is one that works, else the CPU's."""

from __future__ import annotations

import logging
import math

import numpy as np
from numpy.typing import NDArray

from flowgimbal.engines.dis import DisFlow
from flowgimbal.engines.engine import Engine, EngineError, FlowField, Measurement, Memory, all_told, flow_size
from flowgimbal.engines.gpu.opening import GPU_ENGINES, find, open_gpu
from flowgimbal.engines.host import HostPixels
from flowgimbal.engines.onnx import DEFAULT_WARP, WARPS, OnnxEngine
from flowgimbal.engines.onnx_flow import OnnxFlow
from flowgimbal.engines.picture import Picture
from flowgimbal.engines.shapes import COLUMNS, ROWS, STRIDE

logger = logging.getLogger(__name__)

ENGINES = ("auto", *GPU_ENGINES, "cpu", "identity")
FLOWS = ("network", "dis")


class IdentityEngine(HostPixels):
    """Sees no motion and moves nothing: the test double."""

    name = "identity"

    def warm_up(self) -> None:
        """Nothing to warm."""

    def measure(self, held: Picture, memory: Memory | None) -> Measurement:  # noqa: ARG002
        """No motion."""
        width, height = flow_size(*held.size)
        cells = (height // STRIDE, width // STRIDE)
        field = FlowField(np.zeros((2, *cells), np.float32), np.ones(cells, np.float32), all_told(*cells))
        return Measurement(field, held.size, math.inf)

    def warp(self, *_: NDArray[np.float32]) -> NDArray[np.float32]:
        """No offset."""
        return np.zeros((2, ROWS, COLUMNS), np.float32)


def pick(name: str = "auto", flow: str = "network", warp: str = DEFAULT_WARP) -> Engine:
    """The engine called ``name`` with ``flow`` for its eyes and ``warp`` to decide.

    ``auto`` is the first engine that runs here, the CPU's at last. Raises ValueError for a name that there is not,
    EngineError if the engine that was asked for cannot run.
    """
    for what, value, known in (("engine", name, ENGINES), ("flow", flow, FLOWS), ("warp", warp, WARPS)):
        if value not in known:
            raise ValueError(f"{what} {value!r} is none of {', '.join(known)}")
    if name == "identity":
        return IdentityEngine()
    if name in GPU_ENGINES:
        if flow == "dis":
            raise ValueError(f"flow 'dis' runs on the CPU alone: engine cpu in place of {name}, or flow network")
        return open_gpu(name, warp)
    if name == "auto" and flow == "network":
        for candidate in GPU_ENGINES:
            try:
                find(candidate)
            except EngineError as error:
                logger.debug("engine %s is not here: %s", candidate, str(error))
                continue
            try:
                return open_gpu(candidate, warp)
            except EngineError as error:
                logger.warning("engine %s is here but does not work: %s", candidate, str(error))
    label = "onnxruntime-cpu" + ("+dis" if flow == "dis" else "") + (f"+{warp}" if warp != DEFAULT_WARP else "")
    return OnnxEngine(DisFlow() if flow == "dis" else OnnxFlow(), warp=warp, name=label)
