"""Puts the engine together on this machine's card."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import partial
from typing import Any

from flowgimbal.engines.engine import EngineError
from flowgimbal.engines.gpu.batched import BatchedNetwork
from flowgimbal.engines.gpu.cache import PlanCache, default_folder
from flowgimbal.engines.gpu.card import Card, Lane
from flowgimbal.engines.gpu.engine import GpuEngine
from flowgimbal.engines.gpu.graphs import libcuda
from flowgimbal.engines.gpu.kernels import Kernels
from flowgimbal.engines.gpu.plans import Plans
from flowgimbal.engines.gpu.runners import CudaRunner, PlanRunner, Runner
from flowgimbal.engines.gpu.surroundings import (
    BUILDERS,
    check_supported,
    find_builder,
    find_card,
    find_cuda_provider,
    find_driver,
)
from flowgimbal.engines.gpu.tensors import NEW
from flowgimbal.engines.weights import load

logger = logging.getLogger(__name__)

CUDA = "cuda"
GPU_ENGINES = (*BUILDERS, CUDA)  # by preference


@dataclass(frozen=True, slots=True)
class Ground:
    """What an engine would stand on."""

    module: Any
    driver: Any
    card: str  # as ``find_card`` says it
    plans: Plans | None  # none where the network's file is run as it is

    @property
    def module_version(self) -> str:
        """Module and version."""
        return f"{self.module.__name__} {self.module.__version__}"


def find(name: str, index: int = 0) -> Ground:
    """What there is for the engine called ``name`` on card ``index``. Raises EngineError with what is missing."""
    driver = find_driver()  # before the modules: without one some of them crash, and all of them take time
    card = find_card(driver, index)
    module = find_cuda_provider() if name == CUDA else find_builder(name)
    check_supported(name, card)
    return Ground(module, driver, card, None if name == CUDA else Plans(module, card, PlanCache(default_folder())))


def open_gpu(name: str, warp: str, *, index: int = 0) -> GpuEngine:
    """The engine called ``name``, with ``warp`` to decide, on card ``index``; it has run. Raises EngineError."""
    ground = find(name, index)
    try:
        engine = _assemble(Card(ground.driver, index), ground, warp)
        try:
            engine.warm_up()
        except BaseException:
            engine.close()
            raise
    except EngineError:
        raise
    except Exception as error:  # drivers and bindings have errors of their own: a server with another engine goes on
        raise EngineError(f"{name} on {ground.card}: {type(error).__name__}: {error}") from error
    return engine


def _assemble(card: Card, ground: Ground, warp: str) -> GpuEngine:
    with card.active():
        kernels = Kernels(card.driver)
    networks: list[BatchedNetwork] = []
    try:
        for network, stay in (("flow", NEW), (f"warp_{warp}", ())):
            runner = partial(_runner, card, ground, network)
            networks.append(BatchedNetwork(card, kernels, runner, stay=stay))
        name = ground.module.__name__ if ground.plans else "onnxruntime-cuda"
        return GpuEngine(card, kernels, *networks, name=name)
    except BaseException:
        for opened in networks:
            opened.close()
        with card.active():
            kernels.unload()
        card.close()
        raise


def _runner(card: Card, ground: Ground, network: str, lane: Lane) -> Runner:
    if ground.plans is None:
        return CudaRunner(ground.module, load(f"half/{network}.onnx"), card, lane, libcuda())
    why = ground.plans.why_not(network)
    if why:
        logger.warning("building a plan, which may take minutes", extra={"network": network, "why": why})
    records = ground.module.__name__ == "tensorrt"  # TensorRT-RTX records its graphs itself
    return PlanRunner(ground.module, ground.plans.load(network), card, lane, libcuda() if records else None)
