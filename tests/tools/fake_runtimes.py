"""What runs networks on ``fake_card.py``: the narrow surface of ONNX Runtime, TensorRT and libcuda that is used.

The networks are run by ONNX Runtime on the CPU.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
from fake_card import FakeDriver

from flowgimbal.engines.gpu.graphs import Copy


class FakeNetwork:
    """Runs a network at the addresses that it is given."""

    def __init__(self, driver: FakeDriver, onnx: bytes, options: Any = None) -> None:
        self._driver = driver
        options = options or onnxruntime.SessionOptions()
        options.log_severity_level = 4
        self._session = onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
        self.get_inputs = self._session.get_inputs
        self.inputs = {tensor.name for tensor in self.get_inputs()}
        self.outputs = {tensor.name for tensor in self._session.get_outputs()}
        self.runs = 0

    def run(self, addresses: dict[str, tuple[int, tuple[int, ...] | None]]) -> None:
        """Inputs have shapes; those of the outputs follow from them, and must be as told where they are."""
        assert set(addresses) == self.inputs | self.outputs
        self.runs += 1
        feed = {}
        for name in self.inputs:
            address, shape = addresses[name]
            assert shape
            size = 4 * int(np.prod(shape))
            self._driver.check(address, size)
            feed[name] = np.frombuffer(ctypes.string_at(address, size), np.float32).reshape(shape)
        names = sorted(self.outputs)
        for name, result in zip(names, self._session.run(names, feed), strict=True):
            address, shape = addresses[name]
            assert shape in (None, result.shape)
            self._driver.check(address, result.nbytes)
            ctypes.memmove(address, np.ascontiguousarray(result).ctypes.data, result.nbytes)


class FakeOrt:
    """``onnxruntime`` with a CUDA provider, or without one that starts."""

    __name__ = "onnxruntime"
    __version__ = "1.31.1"

    def __init__(self, driver: FakeDriver, provider: str = "CUDAExecutionProvider") -> None:
        self._driver, self._provider = driver, provider
        self.SessionOptions = onnxruntime.SessionOptions
        self.RunOptions = onnxruntime.RunOptions
        self.batches: list[int] = []

    def InferenceSession(self, onnx: bytes, options: Any, providers: list[Any]) -> Any:  # noqa: N802
        network = FakeNetwork(self._driver, onnx, options)
        [(name, settings)] = providers
        assert name == "CUDAExecutionProvider"
        stream = self._driver.streams[int(settings["user_compute_stream"])]

        def bind(
            into: dict[str, Any], name: str, device: str, index: int, dtype: Any, shape: Any, address: int
        ) -> None:
            assert (device, dtype) == ("cuda", np.float32)
            into[name] = (address, tuple(shape))

        def io_binding() -> Any:
            bound: dict[str, Any] = {}
            return SimpleNamespace(
                bound=bound,
                bind_input=lambda *arguments: bind(bound, *arguments),
                bind_output=lambda *arguments: bind(bound, *arguments),
            )

        def run(binding: Any, run_options: Any) -> None:
            assert not any(isinstance(side, str) for each in network.get_inputs() for side in each.shape)
            assert run_options.get_run_config_entry("disable_synchronize_execution_providers") == "1"
            self.batches.append(next(iter(binding.bound.values()))[1][0])
            stream.put(lambda: network.run(binding.bound))

        return SimpleNamespace(
            get_providers=lambda: [self._provider, "CPUExecutionProvider"],
            get_inputs=network.get_inputs,
            io_binding=io_binding,
            run_with_iobinding=run,
        )


class FakeTrt:
    """``tensorrt`` or ``tensorrt_rtx``; its plans are ONNX files."""

    class ILogger:
        ERROR = 1
        INTERNAL_ERROR = 0

    ExecutionContextAllocationStrategy = SimpleNamespace(USER_MANAGED=2)
    CudaGraphStrategy = SimpleNamespace(WHOLE_GRAPH_CAPTURE=1)

    def __init__(self, driver: FakeDriver, name: str = "tensorrt") -> None:
        self.__name__ = name
        self.__version__ = "10.16.1.11"
        self._driver = driver
        self.executions = 0
        self.refuse = ""
        self.settings: list[Any] = []

    def Runtime(self, logger: Any) -> Any:  # noqa: N802
        def deserialize_cuda_engine(plan: bytes) -> Any:
            try:
                network = FakeNetwork(self._driver, plan)
            except Exception as error:  # noqa: BLE001
                logger.log(self.ILogger.ERROR, f"not a plan: {error}")
                return None
            return SimpleNamespace(
                create_execution_context=lambda how: self._context(network, logger, how),
                create_runtime_config=lambda: SimpleNamespace(
                    set_execution_context_allocation_strategy=self.settings.append
                ),
            )

        return SimpleNamespace(deserialize_cuda_engine=deserialize_cuda_engine)

    def _context(self, network: FakeNetwork, logger: Any, how: Any) -> Any:
        if how != self.ExecutionContextAllocationStrategy.USER_MANAGED:
            self.settings.append(how.cuda_graph_strategy)
        shapes: dict[str, tuple[int, ...]] = {}
        addresses: dict[str, int] = {}
        workspace: list[int] = []

        def known(name: str, names: set[str]) -> bool:
            if name not in names:
                logger.log(self.ILogger.ERROR, f"no tensor\n {name}")
            return name in names

        def set_input_shape(name: str, shape: tuple[int, ...]) -> bool:
            shapes[name] = shape
            return known(name, network.inputs)

        def set_tensor_address(name: str, address: int) -> bool:
            addresses[name] = address
            return known(name, network.inputs | network.outputs)

        def execute_async_v3(handle: int) -> bool:
            assert workspace
            if self.refuse:
                logger.log(self.ILogger.ERROR, self.refuse)
                return False
            self.executions += 1
            bound = {name: (address, shapes.get(name)) for name, address in addresses.items()}
            self._driver.streams[handle].put(lambda: network.run(bound))
            return True

        def set_device_memory(address: int, size: int) -> None:
            self._driver.check(address, size)
            workspace.append(address)

        return SimpleNamespace(
            set_input_shape=set_input_shape,
            set_tensor_address=set_tensor_address,
            update_device_memory_size_for_shapes=lambda: 4096,
            set_device_memory=set_device_memory,
            execute_async_v3=execute_async_v3,
        )


class FakeLibcuda:
    """The graphs of libcuda. ``broken`` is the function that fails."""

    def __init__(self, driver: FakeDriver, broken: str = "") -> None:
        self._driver, self._broken = driver, broken
        self._recorded: dict[int, list[Callable[[], object]]] = {}
        self.launches = 0
        self.graphs = 0
        self.copies: list[Copy] = []  # of what is recorded; before them comes a kernel, or else a call of the host
        self.calls_back = 0

    def cuStreamBeginCapture_v2(self, stream: ctypes.c_void_p, mode: int) -> int:  # noqa: N802
        assert mode == 1
        self._driver.streams[stream.value or 0].recording = []
        return 0

    def cuStreamEndCapture(self, stream: ctypes.c_void_p, graph: Any) -> int:  # noqa: N802
        recorded = self._driver.streams[stream.value or 0]
        graph._obj.value = len(self._recorded) + 1
        self._recorded[graph._obj.value] = recorded.recording or []
        recorded.recording = None
        self.graphs += 1
        return 900 if self._broken == "cuStreamEndCapture" else 0

    def cuGraphInstantiateWithFlags(self, executable: Any, graph: ctypes.c_void_p, flags: Any) -> int:  # noqa: N802
        executable._obj.value = graph.value
        return 0

    def cuGraphLaunch(self, executable: ctypes.c_void_p, stream: ctypes.c_void_p) -> int:  # noqa: N802
        self.launches += 1
        for work in self._recorded[executable.value or 0]:
            self._driver.streams[stream.value or 0].put(work)
        return 0

    def cuGraphGetNodes(self, graph: ctypes.c_void_p, nodes: Any, count: Any) -> int:  # noqa: N802
        count._obj.value = 1 + len(self.copies)
        for index in range(count._obj.value if nodes else 0):
            nodes[index] = index + 1
        return 0

    def cuGraphNodeGetType(self, node: ctypes.c_void_p, kind: Any) -> int:  # noqa: N802
        kind._obj.value = self.calls_back if node.value == 1 else 1
        return 0

    def cuGraphMemcpyNodeGetParams(self, node: ctypes.c_void_p, copy: Any) -> int:  # noqa: N802
        ctypes.memmove(copy, ctypes.byref(self.copies[(node.value or 0) - 2]), ctypes.sizeof(copy._obj))
        return 0

    def cuGraphMemcpyNodeSetParams(self, node: ctypes.c_void_p, copy: Any) -> int:  # noqa: N802
        ctypes.memmove(ctypes.byref(self.copies[(node.value or 0) - 2]), copy, ctypes.sizeof(copy._obj))
        return 0

    def cuGraphDestroy(self, graph: ctypes.c_void_p) -> int:  # noqa: N802
        self.graphs -= 1
        return 0

    def cuGraphExecDestroy(self, executable: ctypes.c_void_p) -> int:  # noqa: N802
        del self._recorded[executable.value or 0]
        return 0
