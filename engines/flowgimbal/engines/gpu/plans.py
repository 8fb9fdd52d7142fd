"""Plans of our networks for the card at hand: from the cache where they fit, else built and kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flowgimbal.engines.engine import EngineError
from flowgimbal.engines.gpu.builder import build
from flowgimbal.engines.gpu.cache import PlanCache, PlanKey
from flowgimbal.engines.weights import load

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Plans:
    """What plans are made by, for and kept in. ``trt`` is the builder's module, ``card`` as ``find_card`` says it."""

    trt: Any
    card: str
    cache: PlanCache

    @property
    def builder(self) -> str:
        """Module and version."""
        return f"{self.trt.__name__} {self.trt.__version__}"

    def why_not(self, network: str) -> str:
        """Why the network has no plan here; empty if it has one."""
        return self.cache.why_not(PlanKey.of(network, _onnx(network), self.builder, self.card))

    def load(self, network: str) -> bytes:
        """The network's plan, built if need be. Raises EngineError."""
        key = PlanKey.of(network, _onnx(network), self.builder, self.card)
        return self.cache.load(key) or self.build(network)[0]

    def build(self, network: str, progress: Progress | None = None) -> tuple[bytes, float]:
        """Build the network's plan and keep it; also the seconds that it took. Raises EngineError."""
        began = time.monotonic()
        onnx = _onnx(network)
        timings = self.cache.timings(self.builder, self.card)
        plan, timings = build(self.trt, onnx, timings=timings, progress=progress)
        try:
            self.cache.store(PlanKey.of(network, onnx, self.builder, self.card), plan)
            if timings:
                self.cache.store_timings(self.builder, self.card, timings)
        except OSError as error:
            raise EngineError(f"cannot keep the plan: {error}; FLOWGIMBAL_ENGINE_CACHE names another folder") from error
        return plan, time.monotonic() - began


def _onnx(network: str) -> bytes:
    return load(f"half/{network}.onnx")
