"""CUDA graphs by the driver's own library: pycuda has no names for them.

A network is some dozens of small kernels, and launching them one by one takes longer than they run. A graph is
recorded once and launched as one.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from flowgimbal.engines.engine import EngineError

THIS_THREAD = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: what other threads allocate does not break the recording


class Graph:
    """What ``work`` puts on a stream. Made, launched and freed with the same context active."""

    def __init__(self, library: Any, stream: int, work: Callable[[], None]) -> None:
        """``library`` is libcuda, ``stream`` a handle. Raises EngineError if the work cannot be recorded."""
        self._library = library
        graph, self._executable = ctypes.c_void_p(), ctypes.c_void_p()
        _check(library.cuStreamBeginCapture_v2(ctypes.c_void_p(stream), THIS_THREAD), "cuStreamBeginCapture")
        try:
            work()
        finally:
            ended = library.cuStreamEndCapture(ctypes.c_void_p(stream), ctypes.byref(graph))
        _check(ended, "cuStreamEndCapture")
        try:
            _check(
                library.cuGraphInstantiateWithFlags(ctypes.byref(self._executable), graph, ctypes.c_ulonglong(0)),
                "cuGraphInstantiateWithFlags",
            )
        finally:
            library.cuGraphDestroy(graph)

    def launch(self, stream: int) -> None:
        """Put the recorded work on the stream, once more."""
        _check(self._library.cuGraphLaunch(self._executable, ctypes.c_void_p(stream)), "cuGraphLaunch")

    def free(self) -> None:
        """Nothing may be launched after it."""
        self._library.cuGraphExecDestroy(self._executable)


def libcuda() -> Any:
    """The driver's library, which ``pycuda.driver`` has loaded already."""
    return ctypes.CDLL("libcuda.so.1")


def _check(result: int, function: str) -> None:
    if result:
        raise EngineError(f"{function} failed with CUDA error {result}")
