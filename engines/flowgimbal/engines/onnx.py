"""The embedded CPU engine: ONNX Runtime runs both networks, one thread a call, so that streams run side by side."""

from __future__ import annotations

import time
from functools import cache
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from flowgimbal.engines import weights
from flowgimbal.engines.engine import EngineError, FlowField, FlowMeter, Luma, Measurement, Memory, flow_size
from flowgimbal.engines.host import HostPixels, contrast, shrink
from flowgimbal.engines.picture import Layout, Picture, luma
from flowgimbal.engines.shapes import COLUMNS, CONDITIONS, FEATURES, KEYS, RAW, ROWS, TAPS
from flowgimbal.engines.timeline import BINS

WARPS = ("dense", "homography", "transformer")  # the family of warp networks, see ``networks``
DEFAULT_WARP = "dense"


FLOW_FILES = {"fp32": "flow.onnx", "int8": "int8/flow.onnx"}  # by precision, the exact one first
TRIALS = 15
WRONG = 0.02  # pixels between the flows of two precisions that tell of an overflow


class OnnxFlow:
    """The flow network on the CPU; its memory is what the network matches of a picture."""

    def __init__(self, precision: str = "") -> None:
        """``precision`` is a key of FLOW_FILES; without one, what is the fastest on this machine."""
        self._session = _session(FLOW_FILES[precision or min(flow_times(), key=flow_times().__getitem__)])

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


@cache
def flow_times() -> dict[str, float]:
    """CPU seconds that a 16:9 picture takes in each precision: measured here, once in the life of a process.

    Bytes are faster where the processor multiplies them in one instruction (VNNI) and may be slower elsewhere, or
    overflow: a precision whose flow is not that of the exact one is left out.
    """
    width, height = flow_size(1280, 720)
    noise = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8 + 1), np.uint8)
    wide = np.asarray(cv2.resize(noise, (width + 8, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    first, second = wide[:, 8:], wide[:, 5:-3]  # moved by three pixels
    flows = {precision: OnnxFlow(precision) for precision in FLOW_FILES}
    memories = {precision: flow.flow(first, None)[1] for precision, flow in flows.items()}
    spent: dict[str, list[float]] = {precision: [] for precision in flows}
    fields: dict[str, FlowField | None] = {}
    for _ in range(TRIALS):  # in turns, so that what else goes on touches all alike
        for precision, flow in flows.items():
            began = time.thread_time()
            fields[precision], _ = flow.flow(second, memories[precision])
            spent[precision].append(time.thread_time() - began)
    found = {precision: field.flow for precision, field in fields.items() if field}
    exact = next(iter(found.values()))
    right = [precision for precision, each in found.items() if np.median(np.abs(each - exact)) < WRONG]
    return {precision: float(np.median(spent[precision])) for precision in right}


class OnnxEngine(HostPixels):
    """The warp network on the CPU, behind the flow network or another meter of flow."""

    def __init__(
        self, meter: FlowMeter | None = None, *, warp: str = DEFAULT_WARP, name: str = "onnxruntime-cpu"
    ) -> None:
        super().__init__()
        self.name = name
        self._meter = meter or OnnxFlow()
        self._session = _session(f"warp_{warp}.onnx")

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
        offsets: NDArray[np.float32] = _run(self._session, inputs)[0][0]
        return offsets


def _session(name: str) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
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
