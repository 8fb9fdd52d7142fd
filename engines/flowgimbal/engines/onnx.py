"""The embedded CPU engine: ONNX Runtime runs both networks, one thread a call, so that streams run side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from flowgimbal.engines import weights
from flowgimbal.engines.engine import EngineError, FlowField, FlowMeter, Luma, Measurement, Memory, flow_size
from flowgimbal.engines.host import HostPixels, shrink
from flowgimbal.engines.picture import Layout, Picture, luma
from flowgimbal.engines.shapes import COLUMNS, FEATURES, KEYS, ROWS, TAPS

WARPS = ("dense", "homography", "transformer")  # the family of warp networks, see ``networks``
DEFAULT_WARP = "dense"


class OnnxFlow:
    """The flow network on the CPU; its memory is what the network matches of a picture."""

    def __init__(self, *, threads: int = 1) -> None:
        self._session = _session("flow.onnx", threads)

    def flow(self, luma: Luma, memory: Memory | None) -> tuple[FlowField | None, Memory]:
        """See ``FlowMeter.flow``."""
        height, width = luma.shape
        known = memory is not None and memory[0].shape[2:] == (height, width)
        before = memory if memory is not None and known else _blank(height, width)
        picture = luma[None, None].astype(np.float32)
        picture *= np.float32(1 / 255)
        inputs = {"luma": picture} | dict(zip(FEATURES, before, strict=True))
        flow, log_scale, *now = _run(self._session, inputs)
        if not known:
            return None, now
        return FlowField(flow[0], np.exp(log_scale[0, 0])), now


class OnnxEngine(HostPixels):
    """The warp network on the CPU, behind the flow network or another meter of flow."""

    def __init__(
        self, meter: FlowMeter | None = None, *, warp: str = DEFAULT_WARP, name: str = "onnxruntime-cpu"
    ) -> None:
        super().__init__()
        self.name = name
        self._meter = meter or OnnxFlow()
        self._session = _session(f"warp_{warp}.onnx", 1)

    def warm_up(self) -> None:
        """Run both networks once."""
        still = Picture(Layout.GRAY, (np.zeros((176, 320), np.uint8),))
        memory = self.measure(still, None).memory
        self.measure(still, memory)
        taps, lattice = np.zeros(TAPS, np.float32), np.zeros((TAPS, 2, ROWS, COLUMNS), np.float32)
        self.warp(lattice, taps[:-1], taps[:4])

    def measure(self, held: Picture, memory: Memory | None) -> Measurement:
        """See ``Engine.measure``."""
        small = shrink(luma(held), flow_size(*held.size))
        field, now = self._meter.flow(small, memory)
        return Measurement(field, now, float(small.std()))

    def warp(
        self, window: NDArray[np.float32], cover: NDArray[np.float32], conditions: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """See ``Engine.warp``."""
        inputs = {"window": window[None], "cover": cover[None], "conditions": conditions[None]}
        offsets: NDArray[np.float32] = _run(self._session, inputs)[0][0]
        return offsets


def _session(name: str, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(weights.load(name), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise EngineError(f"ONNX Runtime cannot load {name}: {error}") from error


def _run(session: Any, inputs: dict[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    try:
        outputs: list[NDArray[np.float32]] = session.run(None, inputs)
    except Exception as error:
        raise EngineError(f"ONNX Runtime failed: {error}") from error
    return outputs


def _blank(height: int, width: int) -> list[NDArray[np.float32]]:
    sizes = zip((1, *KEYS), (1, 4, 8, 16), strict=True)
    return [np.zeros((1, k, height // s, width // s), np.float32) for k, s in sizes]
