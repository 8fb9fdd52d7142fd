"""The embedded CPU engine: both networks by ONNX Runtime, pixels moved by the CPU."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flowgimbal.engines.engine import FlowMeter, Measurement, Memory, flow_size
from flowgimbal.engines.host import HostPixels, contrast, shrink
from flowgimbal.engines.onnx_flow import OnnxFlow
from flowgimbal.engines.onnx_session import open_session, run
from flowgimbal.engines.picture import Layout, Picture, luma
from flowgimbal.engines.shapes import COLUMNS, CONDITIONS, RAW, ROWS, TAPS
from flowgimbal.engines.timeline import BINS

WARPS = ("dense", "homography", "transformer")  # the family of warp networks, see ``networks``
DEFAULT_WARP = "dense"


class OnnxEngine(HostPixels):
    """The warp network on the CPU, behind the flow network or another meter of flow."""

    def __init__(
        self, meter: FlowMeter | None = None, *, warp: str = DEFAULT_WARP, name: str = "onnxruntime-cpu"
    ) -> None:
        super().__init__()
        self.name = name
        self._meter = meter or OnnxFlow()
        self._session = open_session(f"warp_{warp}.onnx")

    def warm_up(self) -> None:
        """Run both networks once."""
        still = Picture(Layout.GRAY, (np.zeros((176, 320), np.uint8),))
        memory = self.measure(still, None).memory
        self.measure(still, memory)
        lattice = np.zeros((TAPS, 2, ROWS, COLUMNS), np.float32)
        self.warp(lattice, np.zeros(RAW + BINS, np.float32), np.zeros(CONDITIONS, np.float32))

    def measure(self, held: Picture, memory: Memory | None) -> Measurement:
        """See ``Engine.measure``."""
        small = shrink(luma(held), flow_size(*held.size))
        field, now = self._meter.flow(small, memory)
        return Measurement(field, now, contrast(small))

    def warp(
        self, window: NDArray[np.float32], cover: NDArray[np.float32], conditions: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """See ``Engine.warp``."""
        inputs = {"window": window[None], "cover": cover[None], "conditions": conditions[None]}
        offsets: NDArray[np.float32] = run(self._session, inputs)[0][0]
        return offsets
