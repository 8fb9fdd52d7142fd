"""The narrow surface of pycuda that the GPU engine uses, over the host's memory; ``fake_runtimes.py`` has the rest.

Nothing runs before its stream is waited for, so that who forgets to wait, or lets go of memory too early, gets wrong
numbers; an address outside of what is allocated, and a call without the context, fail at once. The kernels are the
real ones, compiled for the host.
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
