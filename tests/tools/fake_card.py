"""The narrow surface of pycuda, libcuda, TensorRT and ONNX Runtime that the GPU engine uses, over the host's memory.

Nothing runs before its stream is waited for, so that who forgets to wait, or lets go of memory too early, gets wrong
numbers; an address outside of what is allocated, and a call without the context, fail at once. The kernels are the
real ones, compiled for the host; the networks are run by ONNX Runtime on the CPU.
"""

from __future__ import annotations

import bisect
import ctypes
import re
import struct
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime

from flowgimbal.engines.gpu.graphs import Copy

SHIM = """
#include <math.h>
#define __global__
#define __device__
struct Dim { int x, y; };
static const Dim blockIdx = {0, 0}, threadIdx = {0, 0}, blockDim = {1, 1}, gridDim = {1, 1};
"""
C_TYPES = {"P": ctypes.c_void_p, "i": ctypes.c_int, "f": ctypes.c_float}
PTX_TYPES = {"P": "u64", "i": "u32", "f": "f32"}


def compile_kernels(source: Path, folder: Path) -> ctypes.CDLL:
    """``kernels.cu`` for the host: a grid of one thread."""
    (folder / "shim.h").write_text(SHIM)
    library = folder / "kernels.so"
    command = ["g++", "-O2", "-shared", "-fPIC", "-include", str(folder / "shim.h"), "-x", "c++", str(source)]
    subprocess.run([*command, "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


class FakeDriver:
    """``pycuda.driver``, one for each test."""

    class Error(Exception):
        pass

    class MemoryError(Error):
        pass

    def __init__(self, kernels: ctypes.CDLL | None = None) -> None:
        self.kernels = kernels
        self.host_alloc_flags = SimpleNamespace(PORTABLE=1)
        self.context = FakeContext(self)
        self.streams: dict[int, FakeStream] = {}
        self.live: dict[int, int] = {}  # address to size
        self.allocations = 0
        self.budget = 1 << 40
        self.broken = False  # every call fails from now on, as after a kernel's illegal access

    def init(self) -> None:
        pass

    def Device(self, index: int) -> Any:  # noqa: N802
        return SimpleNamespace(
            retain_primary_context=lambda: self.context, name=lambda: "Fake card", compute_capability=lambda: (8, 9)
        )

    def Stream(self, flags: int) -> FakeStream:  # noqa: N802
        self.check()
        assert flags == 1, "a blocking stream waits for everybody's"
        return FakeStream(self)

    def mem_alloc(self, size: int) -> FakeMemory:
        return FakeMemory(self, size)

    def pagelocked_empty(self, shape: int, dtype: Any, mem_flags: int) -> np.ndarray:
        assert mem_flags == self.host_alloc_flags.PORTABLE
        assert np.dtype(dtype).itemsize == 1
        memory = FakeMemory(self, shape)
        return np.asarray(memory)

    def memcpy_htod_async(self, to: int, array: np.ndarray, stream: FakeStream) -> None:
        assert array.flags.c_contiguous
        self.check(to, array.nbytes)
        self.check(array.ctypes.data, array.nbytes)  # from pageable memory it would not be asynchronous
        self._copy(stream, to, array.ctypes.data, array.nbytes)

    def memcpy_dtoh_async(self, array: np.ndarray, source: int, stream: FakeStream) -> None:
        assert array.flags.c_contiguous
        self.check(source, array.nbytes)
        self.check(array.ctypes.data, array.nbytes)
        self._copy(stream, array.ctypes.data, source, array.nbytes)

    def module_from_buffer(self, ptx: bytes) -> Any:
        self.check()
        assert ptx.endswith(b"\0")
        return SimpleNamespace(get_function=lambda name: FakeFunction(self, name, ptx.decode()))

    def check(self, address: int | None = None, size: int = 1) -> None:
        """The context is active, and the memory is there."""
        if not self.context.depth():
            raise self.Error("no context is active in this thread")
        if self.broken:
            raise self.Error("an illegal memory access was encountered")
        if address is None:
            return
        starts = sorted(self.live)
        start = starts[bisect.bisect_right(starts, address) - 1]
        assert start <= address, "below all memory"
        assert address + size <= start + self.live[start], f"{size} bytes at {address} are not ours"

    def _copy(self, stream: FakeStream, to: int, source: int, size: int) -> None:
        stream.put(lambda: ctypes.memmove(to, source, size))


class FakeContext:
    """Current or not, in each thread."""

    def __init__(self, driver: FakeDriver) -> None:
        self._local = threading.local()

    def depth(self) -> int:
        return int(getattr(self._local, "depth", 0))

    def push(self) -> None:
        self._local.depth = self.depth() + 1

    def pop(self) -> None:
        assert self.depth()
        self._local.depth -= 1

    def detach(self) -> None:
        self.pop()


class FakeMemory:
    """Memory of the card or of the host; a little of it around it is nobody's."""

    def __init__(self, driver: FakeDriver, size: int) -> None:
        driver.check()
        if size + sum(driver.live.values()) > driver.budget:
            raise driver.MemoryError("out of memory")
        self._driver = driver
        self._bytes = np.full(size + 64, 0xA5, np.uint8)
        self._address = self._bytes.ctypes.data + 32
        self.__array_interface__ = {"shape": (size,), "typestr": "|u1", "data": (self._address, False), "version": 3}
        driver.live[self._address] = size
        driver.allocations += 1

    def __int__(self) -> int:
        return self._address

    def free(self) -> None:
        self._driver.check()
        assert (self._bytes[:32] == 0xA5).all(), "written before its beginning"
        assert (self._bytes[-32:] == 0xA5).all(), "written beyond its end"
        del self._driver.live[self._address]


class FakeStream:
    """Work that waits to be waited for."""

    def __init__(self, driver: FakeDriver) -> None:
        self._driver = driver
        self._work: list[Callable[[], object]] = []
        self.recording: list[Callable[[], object]] | None = None
        self.handle = id(self)
        driver.streams[self.handle] = self

    def put(self, work: Callable[[], object]) -> None:
        self._driver.check()
        (self._work if self.recording is None else self.recording).append(work)

    def synchronize(self) -> None:
        self._driver.check()
        assert self.recording is None
        work, self._work = self._work, []
        for step in work:
            step()


class FakeFunction:
    """A kernel. Its signature is held against the compiled one."""

    def __init__(self, driver: FakeDriver, name: str, ptx: str) -> None:
        self._driver, self._name = driver, name
        parameters = re.search(rf"\.entry {name}\(([^)]*)\)", ptx)
        assert parameters, f"no kernel {name}"
        self._types = re.findall(r"\.param \.(\w+)", parameters[1])
        self._signature = ""

    def prepare(self, signature: str) -> None:
        assert [PTX_TYPES[letter] for letter in signature] == self._types, self._name
        self._signature = signature

    def prepared_async_call(self, grid: Any, block: Any, stream: FakeStream, *arguments: Any) -> None:
        assert len(grid) == 2
        assert grid[0] >= 1
        assert 1 <= block[0] * block[1] * block[2] <= 1024
        struct.pack(self._signature, *arguments)  # as pycuda does
        for letter, value in zip(self._signature, arguments, strict=True):
            if letter == "P":
                self._driver.check(value)
        if self._name == "move":
            stream.put(lambda: self._check_rows(*arguments))
        values = [C_TYPES[letter](value) for letter, value in zip(self._signature, arguments, strict=True)]
        stream.put(lambda: getattr(self._driver.kernels, self._name)(*values))

    def _check_rows(self, table: int, rows: int) -> None:
        numbers = np.ctypeslib.as_array((ctypes.c_uint64 * (3 * rows)).from_address(table))
        for start, end, words in numbers.reshape(-1, 3):
            for address in {int(start), int(end)} - {0}:
                self._driver.check(address, 4 * int(words))


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
