"""Who runs a network on the card: a plan by TensorRT or TensorRT-RTX, or ONNX Runtime's CUDA provider.

All of them work on addresses that they are given and on one stream, without waiting for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol

import numpy as np

from flowgimbal.engines.engine import EngineError
from flowgimbal.engines.gpu.card import Block, Card, Lane
from flowgimbal.engines.gpu.complaints import complaints
from flowgimbal.engines.gpu.graphs import Graph
from flowgimbal.engines.gpu.tensors import Shape

logger = logging.getLogger(__name__)

Bound = Mapping[str, tuple[Block, Shape]]

COLD_RUNS = 2  # before a recording, in which nothing may be allocated: ONNX Runtime plans its memory, then takes it


class Call(Protocol):
    """A network at fixed shapes and addresses."""

    def __call__(self) -> None:
        """Put one run on the stream. Raises EngineError."""
        ...

    def free(self) -> None:
        """Let go of what the call has, with the card's context active."""
        ...


class Runner(Protocol):
    """One network on one lane; to be used with the card's context active."""

    def bind(self, inputs: Bound, outputs: Bound) -> Call:
        """The network at these shapes and addresses. Raises EngineError."""
        ...


class PlanRunner:
    """Runs a plan. ``trt`` is ``tensorrt`` or ``tensorrt_rtx``, ``libcuda`` is needed for the first alone."""

    def __init__(self, trt: Any, plan: bytes, card: Card, lane: Lane, libcuda: Any) -> None:
        self._trt, self._card, self._lane, self._libcuda = trt, card, lane, libcuda
        self._complaints = complaints(trt)
        try:
            self._runtime = trt.Runtime(self._complaints)
        except TypeError as error:  # what the bindings raise where CUDA does not start
            raise EngineError(f"{trt.__name__} cannot start: {self._complaints.last}") from error
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise EngineError(f"{trt.__name__} cannot load the plan: {self._complaints.last}")

    def bind(self, inputs: Bound, outputs: Bound) -> Call:
        """See ``Runner.bind``. The working memory is for these shapes, not for the largest."""
        context = self._context()
        if context is None:
            raise EngineError(f"{self._trt.__name__} cannot set up the plan: {self._complaints.last}")
        for name, (block, shape) in inputs.items():
            if not (context.set_input_shape(name, shape) and context.set_tensor_address(name, int(block))):
                raise EngineError(f"{self._trt.__name__} does not take {name} {shape}: {self._complaints.last}")
        for name, (block, _) in outputs.items():
            if not context.set_tensor_address(name, int(block)):
                raise EngineError(f"{self._trt.__name__} has no output {name}: {self._complaints.last}")
        size = context.update_device_memory_size_for_shapes()
        workspace = self._card.memory(max(size, 1))
        context.set_device_memory(int(workspace), size)
        stream = self._lane.stream.handle

        def run() -> None:
            if not context.execute_async_v3(stream):
                raise EngineError(f"{self._trt.__name__} failed: {self._complaints.last}")

        return RecordedCall(run, self._lane, self._libcuda, keep=(context, workspace))

    def _context(self) -> Any:
        by_us = self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
        if self._libcuda is not None:
            return self._engine.create_execution_context(by_us)
        settings = self._engine.create_runtime_config()  # RTX records graphs of its own
        settings.set_execution_context_allocation_strategy(by_us)
        settings.cuda_graph_strategy = self._trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        return self._engine.create_execution_context(settings)


class CudaRunner:
    """Runs an ONNX file by ONNX Runtime's CUDA provider. ``ort`` is ``onnxruntime``.

    There is a session for each shape: where shapes are known, what is computed of them on the CPU is a constant, and
    what is left can be recorded.
    """

    PROVIDER = "CUDAExecutionProvider"

    def __init__(self, ort: Any, onnx: bytes, card: Card, lane: Lane, libcuda: Any) -> None:
        self._ort, self._onnx, self._card, self._lane, self._libcuda = ort, onnx, card, lane, libcuda
        self._inputs = {each.name: each.shape for each in self._session({}).get_inputs()}
        self._asynchronous = ort.RunOptions()
        self._asynchronous.add_run_config_entry("disable_synchronize_execution_providers", "1")

    def bind(self, inputs: Bound, outputs: Bound) -> Call:
        """See ``Runner.bind``."""
        sizes = {
            named: size
            for name, (_, shape) in inputs.items()
            for named, size in zip(self._inputs[name], shape, strict=True)
            if isinstance(named, str)
        }
        session = self._session(sizes)
        binding = session.io_binding()
        for name, (block, shape) in inputs.items():
            binding.bind_input(name, "cuda", self._card.index, np.float32, shape, int(block))
        for name, (block, shape) in outputs.items():
            binding.bind_output(name, "cuda", self._card.index, np.float32, shape, int(block))

        def run() -> None:
            try:
                session.run_with_iobinding(binding, self._asynchronous)
            except Exception as error:
                raise EngineError(f"ONNX Runtime failed: {error}") from error

        return RecordedCall(run, self._lane, self._libcuda, keep=(session, binding))

    def _session(self, sizes: Mapping[str, int]) -> Any:
        """A session in which dimensions have these sizes; the others are open."""
        options = self._ort.SessionOptions()
        options.log_severity_level = 3
        for name, size in sizes.items():
            options.add_free_dimension_override_by_name(name, size)
        provider = {
            "device_id": str(self._card.index),
            "user_compute_stream": str(self._lane.stream.handle),
            "cudnn_conv_algo_search": "HEURISTIC",  # to try all of them takes seconds for each new batch
            "use_tf32": "0",  # what is left in fp32 needs it
        }
        try:
            session = self._ort.InferenceSession(self._onnx, options, providers=[(self.PROVIDER, provider)])
        except Exception as error:
            raise EngineError(f"ONNX Runtime cannot load the network: {error}") from error
        if session.get_providers()[0] != self.PROVIDER:  # it warns, and falls back to the CPU
            raise EngineError("ONNX Runtime does not start its CUDA provider: are cuDNN 9 and cuBLAS installed?")
        return session


class RecordedCall:
    """A network at fixed shapes and addresses: run to warm up, then recorded, then replayed."""

    def __init__(self, run: Callable[[], None], lane: Lane, libcuda: Any, *, keep: object) -> None:
        """Without ``libcuda`` it is run each time; ``keep`` must live as long as what is recorded."""
        self._run, self._lane, self._libcuda, self._keep = run, lane, libcuda, keep
        self._graph: Graph | None = None
        self._colds = COLD_RUNS

    def __call__(self) -> None:
        """See ``Call``."""
        if self._graph is not None:
            self._graph.launch(self._lane.stream.handle)
        elif self._colds or self._libcuda is None:
            self._run()
            self._colds = max(0, self._colds - 1)
        else:
            self._record()
            self()

    def free(self) -> None:
        """See ``Call``."""
        if self._graph is not None:
            self._graph.free()
        self._graph = self._keep = None
        self._run = _freed

    def _upload(self, data: bytes) -> Block:
        return self._lane.upload(np.frombuffer(data, np.uint8))

    def _record(self) -> None:
        try:
            self._graph = Graph(self._libcuda, self._lane.stream.handle, self._run, self._upload)
        except Exception as error:  # noqa: BLE001  # for whatever reason: without one it still runs
            logger.warning("no CUDA graph, kernels are launched one by one: %s", error)
            self._libcuda = None
            with suppress(EngineError):  # ONNX Runtime meets the recording's error once more, in its next run
                self._run()


def _freed() -> None:
    raise EngineError("this call was freed")
