"""The flow network on the CPU, in the form that is the fastest on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cache, partial

import cv2
import numpy as np

from flowgimbal.engines import native
from flowgimbal.engines.engine import FlowField, Luma, Memory, flow_size
from flowgimbal.engines.native.polish import polish
from flowgimbal.engines.onnx_session import Tensor, open_session, run
from flowgimbal.engines.shapes import FEATURES, KEYS, MATCHED, STEPPED

FLOW_FILES = {"fp32": ("flow.onnx",), "int8": ("int8/match.onnx", "int8/step.onnx", "int8/gate.onnx")}
"""By precision, the exact one first; see ``training/parts.py`` for what is in parts."""
STEP, GATE = ("picture", "new_picture", *MATCHED), (*MATCHED, "hidden", *STEPPED)
TRIALS = 15
WRONG = 0.02  # pixels between the flows of two precisions that tell of an overflow


class OnnxFlow:
    """The flow network; its memory is what it matches of a picture."""

    def __init__(self, precision: str = "") -> None:
        """``precision`` is a key of FLOW_FILES; without one, what is the fastest on this machine."""
        files = FLOW_FILES[precision or min(flow_times(), key=flow_times().__getitem__)]
        self._network = _in_parts(files) if len(files) > 1 else partial(run, open_session(files[0]))

    def flow(self, luma: Luma, memory: Memory | None) -> tuple[FlowField | None, Memory]:
        """See ``FlowMeter.flow``."""
        height, width = luma.shape
        known = memory is not None and memory[0].shape[2:] == (height, width)
        before = memory if memory is not None and known else _blank(height, width)
        picture = luma[None, None].astype(np.float32)
        picture *= np.float32(1 / 255)
        flow, log_scale, *now = self._network({"luma": picture} | dict(zip(FEATURES, before, strict=True)))
        if not known:
            return None, now
        return FlowField(flow[0], np.exp(log_scale[0, 0])), now


def _in_parts(files: Sequence[str]) -> Callable[[dict[str, Tensor]], list[Tensor]]:
    """The network in three parts, the middle one compiled where that can be had."""
    match, gate = open_session(files[0]), open_session(files[2])
    step = open_session(files[1]) if native.why_not() else None

    def network(inputs: dict[str, Tensor]) -> list[Tensor]:
        *matched, hidden, picture, quarter, eighth, sixteenth = run(match, inputs)
        seen = inputs["picture"], picture, *matched
        stepped = run(step, dict(zip(STEP, seen, strict=True))) if step else polish(*seen)
        gated = run(gate, dict(zip(GATE, (*matched, hidden, *stepped), strict=True)))
        return [*gated, picture, quarter, eighth, sixteenth]

    return network


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


def _blank(height: int, width: int) -> list[Tensor]:
    sizes = zip((1, *KEYS), (1, 4, 8, 16), strict=True)
    return [np.zeros((1, k, height // s, width // s), np.float32) for k, s in sizes]
