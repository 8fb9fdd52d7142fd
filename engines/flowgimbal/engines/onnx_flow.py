"""The flow network on the CPU, in the form that is the fastest on this machine."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import cv2
import numpy as np

from flowgimbal.engines import native
from flowgimbal.engines.engine import EngineError, FlowField, Luma, Memory, flow_size
from flowgimbal.engines.native.compare import compare
from flowgimbal.engines.native.polish import polish
from flowgimbal.engines.onnx_session import Tensor, open_session, run
from flowgimbal.engines.shapes import FEATURES, KEYS, LEVELS, POLISHED, SHARPNESS, STRIDE

logger = logging.getLogger(__name__)

WHOLE = {"fp32": "flow.onnx", "int8": "int8/flow.onnx"}  # files by form, the exact one first
IN_PARTS = {"int8, compiled between": "int8"}  # folders of PARTS, which ``training/parts.py`` makes
PARTS = ("encode", *LEVELS, "gate")
TRIALS = 15
SHARPEST = 40.0  # beyond it exponentials of costs leave what compare.c counts with
WRONG = 0.02  # pixels between the flows of two forms, in the middle, that tell of an overflow
UNLIKE = 0.5  # and between the logarithms of their scales


class OnnxFlow:
    """The flow network; its memory is what it matches of a picture."""

    def __init__(self, form: str = "") -> None:
        """``form`` is one of ``forms()``; without one, what is the fastest on this machine. Raises EngineError."""
        form = form or min(flow_times(), key=flow_times().__getitem__)
        self._network: Callable[[dict[str, Tensor]], list[Tensor]]
        self._network = _InParts(IN_PARTS[form]) if form in IN_PARTS else partial(run, open_session(WHOLE[form]))

    def flow(self, luma: Luma, memory: Memory | None) -> tuple[FlowField | None, Memory]:
        """See ``FlowMeter.flow``."""
        height, width = luma.shape
        known = memory is not None and memory[0].shape[2:] == (height, width)
        before = memory if memory is not None and known else _blank(height, width)
        picture = luma[None, None].astype(np.float32)
        picture *= np.float32(1 / 255)
        flow, log_scale, texture, *now = self._network({"luma": picture} | dict(zip(FEATURES, before, strict=True)))
        if not known:
            return None, now
        return FlowField(flow[0], np.exp(log_scale[0, 0]), texture[0]), now


class _InParts:
    """The network's convolutions, a session for each row of them, and compiled code between them.

    See ``FlowNetwork``, whose ``forward`` this is.
    """

    def __init__(self, folder: str) -> None:
        if why := native.why_not():
            raise EngineError(f"the flow network cannot be run in parts: the compiled library is not used: {why}")
        sessions = {name: open_session(f"{folder}/{name}.onnx") for name in PARTS}
        self._encode, self._gate = sessions["encode"], sessions["gate"]
        self._levels = [(sessions[name], level, _sharpness(sessions[name])) for name, level in LEVELS.items()]

    def __call__(self, inputs: dict[str, Tensor]) -> list[Tensor]:
        """Flow, log of its scale, texture, and the features that are to be kept. Raises EngineError."""
        try:
            return self._measure(inputs)
        except (ValueError, MemoryError) as error:
            raise EngineError(f"the compiled part of the flow network failed: {error}") from error

    def _measure(self, inputs: dict[str, Tensor]) -> list[Tensor]:
        picture, *keys = now = run(self._encode, {"luma": inputs["luma"]})
        before: tuple[Tensor, Tensor] | None = None
        firsts = [inputs[name] for name in FEATURES[1:]]
        for (session, level, sharpness), first, second in zip(
            self._levels, reversed(firsts), reversed(keys), strict=True
        ):
            seen, guess = compare(first, second, level, sharpness, before)
            head, hidden = run(session, {"seen": seen})
            flow, log_scale = guess + head[:, :2], head[:, 2:]
            before = flow, hidden
        matched = flow * STRIDE
        *stepped, texture = polish(inputs["picture"], picture, matched, log_scale)
        gated = run(self._gate, dict(zip(POLISHED, (matched, log_scale, hidden, *stepped), strict=True)))
        return [*gated, texture, *now]


def _sharpness(session: Any) -> float:
    told = session.get_modelmeta().custom_metadata_map.get(SHARPNESS, "nothing")
    try:
        sharpness = float(told)
    except ValueError:
        sharpness = math.nan
    if not 0 < sharpness < SHARPEST:
        raise EngineError(f"a part of the flow network says {told} of its {SHARPNESS}: install flowgimbal again")
    return sharpness


def forms() -> list[str]:
    """What the network can be run as here, the exact one first."""
    return [*WHOLE, *(() if native.why_not() else IN_PARTS)]


@cache
def flow_times() -> dict[str, float]:
    """CPU seconds that a 16:9 picture takes in each form: measured here, once in the life of a process.

    Bytes are faster where the processor multiplies them in one instruction (VNNI) and may be slower elsewhere, or
    overflow: a form whose flow is not that of the exact one is left out.
    """
    width, height = flow_size(1280, 720)
    noise = np.random.default_rng(0).integers(0, 256, (height // 8, width // 8 + 1), np.uint8)
    wide = np.asarray(cv2.resize(noise, (width + 8, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    first, second = wide[:, 8:], wide[:, 5:-3]  # moved by three pixels
    flows: dict[str, OnnxFlow] = {}
    memories: dict[str, Memory] = {}
    for form in forms():
        try:
            flow = OnnxFlow(form)
            memories[form] = flow.flow(first, None)[1]
            flows[form] = flow
        except EngineError as error:
            if not flows:
                raise  # the exact one is needed
            logger.warning("the flow network is not run in %s: %s", form, error)
    spent: dict[str, list[float]] = {form: [] for form in flows}
    fields: dict[str, FlowField | None] = {}
    for _ in range(TRIALS):  # in turns, so that what else goes on touches all alike
        for form, flow in flows.items():
            began = time.thread_time()
            fields[form], _ = flow.flow(second, memories[form])
            spent[form].append(time.thread_time() - began)
    exact, *_ = (field for field in fields.values() if field)
    right = [form for form, field in fields.items() if field and _alike(field, exact)]
    return {form: float(np.median(spent[form])) for form in right}


def _alike(field: FlowField, exact: FlowField) -> bool:
    """Whether a form measured what the exact one did: nearly everywhere, and as surely."""
    apart = np.abs(field.flow - exact.flow)
    surer = np.abs(np.log(field.scale / exact.scale))
    return bool(np.median(apart) < WRONG and np.quantile(apart, 0.9) < 10 * WRONG and np.median(surer) < UNLIKE)


def _blank(height: int, width: int) -> list[Tensor]:
    sizes = zip((1, *KEYS), (1, 4, 8, 16), strict=True)
    return [np.zeros((1, k, height // s, width // s), np.float32) for k, s in sizes]
