"""ONNX to a plan: strongly typed, so that precision is the graph's, with one profile for every batch and picture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowgimbal.engines.engine import EngineError
from flowgimbal.engines.gpu.complaints import complaints
from flowgimbal.engines.gpu.tensors import flow_tensors, warp_tensors
from flowgimbal.engines.shapes import MULTIPLE

BATCHES = (1, 4, 16)  # streams in one call: at least, the number to tune for, at most
# Height and width of the flow network's input likewise; ``flow_size`` stays within them, and 16:9 is tuned for.
PICTURES = ((2 * MULTIPLE, 2 * MULTIPLE), (176, 320), (544, 544))

Shapes = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


def shapes_of(name: str) -> Shapes:
    """Smallest, usual and largest shape of the input ``name``."""
    smallest, usual, largest = (
        (batch, *(flow_tensors(width, height).inputs | warp_tensors().inputs)[name])
        for batch, (height, width) in zip(BATCHES, PICTURES, strict=True)
    )
    return smallest, usual, largest


def build(
    trt: Any, onnx: bytes, *, timings: bytes = b"", progress: Callable[[str, int, int], None] | None = None
) -> tuple[bytes, bytes]:
    """The plan of a network, and what TensorRT learned about the card's timings on the way (RTX: nothing).

    ``trt`` is the module ``tensorrt`` (10 or 11) or ``tensorrt_rtx``, ``timings`` what an earlier build returned.
    ``progress`` is told a phase, the steps done and all of them. Raises EngineError with the first complaint.
    """
    logger = complaints(trt)
    try:
        builder = trt.Builder(logger)
    except TypeError as error:  # what the bindings raise where CUDA does not start
        raise EngineError(f"{trt.__name__} cannot start its builder: is there an NVIDIA driver and card?") from error
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(onnx):
        raise EngineError(f"{trt.__name__} cannot read the network: {parser.get_error(0).desc()}")
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)  # what is left in fp32 needs it
    profile = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        profile.set_shape(tensor.name, *shapes_of(tensor.name))
    config.add_optimization_profile(profile)
    cache = None
    if trt.__name__ == "tensorrt":  # RTX times nothing here: it compiles for the card when a plan is loaded
        cache = config.create_timing_cache(timings)
        config.set_timing_cache(cache, False)  # timings of another card are left aside
    monitor = _monitor(trt, progress) if progress else None  # the config does not keep it alive
    if monitor is not None:
        config.progress_monitor = monitor
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise EngineError(f"{trt.__name__} cannot build the network: {logger.last}")
    return bytes(plan), bytes(cache.serialize()) if cache else b""


def _monitor(trt: Any, progress: Callable[[str, int, int], None]) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """Tells of the outermost phases alone."""

        def __init__(self) -> None:
            super().__init__()
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if parent_phase is None:
                self._steps[phase_name] = num_steps

        def step_complete(self, phase_name: str, step: int) -> bool:
            if phase_name in self._steps:
                progress(phase_name, step + 1, self._steps[phase_name])
            return True

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

    return Monitor()
