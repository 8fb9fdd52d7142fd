"""CUDA graphs by the driver's own library: pycuda has no names for them.

A network is some hundreds of small kernels, and launching them one by one takes longer than they run. A graph is
recorded once and launched as one.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, SupportsInt

from flowgimbal.engines.engine import EngineError

THIS_THREAD = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: what other threads allocate does not break the recording
COPY, CALL = 1, 3  # CU_GRAPH_NODE_TYPE_MEMCPY and _HOST
ON_HOST, ON_CARD = 1, 2  # CU_MEMORYTYPE_HOST and _DEVICE


class Copy(ctypes.Structure):
    """CUDA_MEMCPY3D."""

    _fields_ = (
        *((name, ctypes.c_size_t) for name in ("src_x", "src_y", "src_z", "src_lod")),
        ("src_type", ctypes.c_int),
        *((name, ctypes.c_void_p) for name in ("src_host", "src_device", "src_array", "_src")),
        *((name, ctypes.c_size_t) for name in ("src_pitch", "src_height", "dst_x", "dst_y", "dst_z", "dst_lod")),
        ("dst_type", ctypes.c_int),
        *((name, ctypes.c_void_p) for name in ("dst_host", "dst_device", "dst_array", "_dst")),
        *((name, ctypes.c_size_t) for name in ("dst_pitch", "dst_height", "width", "height", "depth")),
    )


class Graph:
    """What ``work`` puts on a stream. Made, launched and freed with the same context active."""

    def __init__(
        self, library: Any, stream: int, work: Callable[[], None], upload: Callable[[bytes], SupportsInt]
    ) -> None:
        """``library`` is libcuda, ``stream`` a handle; ``upload`` puts bytes on the card and tells where they are.

        Raises EngineError if the work cannot be recorded.
        """
        self._library = library
        self._kept: list[SupportsInt] = []
        graph, self._executable = ctypes.c_void_p(), ctypes.c_void_p()
        _check(library.cuStreamBeginCapture_v2(ctypes.c_void_p(stream), THIS_THREAD), "cuStreamBeginCapture")
        try:
            try:
                work()
            finally:
                ended = library.cuStreamEndCapture(ctypes.c_void_p(stream), ctypes.byref(graph))
            _check(ended, "cuStreamEndCapture")
            self._keep_what_it_reads(graph, upload)
            _check(
                library.cuGraphInstantiateWithFlags(ctypes.byref(self._executable), graph, ctypes.c_ulonglong(0)),
                "cuGraphInstantiateWithFlags",
            )
        finally:
            if graph:
                library.cuGraphDestroy(graph)

    def launch(self, stream: int) -> None:
        """Put the recorded work on the stream, once more."""
        _check(self._library.cuGraphLaunch(self._executable, ctypes.c_void_p(stream)), "cuGraphLaunch")

    def free(self) -> None:
        """Nothing may be launched after it."""
        self._library.cuGraphExecDestroy(self._executable)
        self._kept.clear()

    def _keep_what_it_reads(self, graph: ctypes.c_void_p, upload: Callable[[bytes], SupportsInt]) -> None:
        """Have the graph read what the work uploaded from the card, which is also the faster.

        ONNX Runtime sends sizes and addresses from memory of the host that it uses again after the run.
        """
        for node in _nodes(self._library, graph):
            kind = ctypes.c_int()
            _check(self._library.cuGraphNodeGetType(node, ctypes.byref(kind)), "cuGraphNodeGetType")
            if kind.value == CALL:
                raise EngineError("the work calls back to the host, which cannot be repeated")
            if kind.value != COPY:
                continue
            copy = Copy()
            _check(self._library.cuGraphMemcpyNodeGetParams(node, ctypes.byref(copy)), "cuGraphMemcpyNodeGetParams")
            if copy.dst_type == ON_HOST or copy.src_type not in {ON_HOST, ON_CARD}:
                raise EngineError("the work copies what cannot be copied again")
            if copy.src_type == ON_CARD:
                continue
            if copy.height > 1 or copy.depth > 1:
                raise EngineError("the work uploads more than rows of bytes")
            kept = upload(ctypes.string_at(copy.src_host + copy.src_x, copy.width))
            copy.src_type, copy.src_device, copy.src_x = ON_CARD, int(kept), 0
            _check(self._library.cuGraphMemcpyNodeSetParams(node, ctypes.byref(copy)), "cuGraphMemcpyNodeSetParams")
            self._kept.append(kept)


def _nodes(library: Any, graph: ctypes.c_void_p) -> list[ctypes.c_void_p]:
    count = ctypes.c_size_t()
    _check(library.cuGraphGetNodes(graph, None, ctypes.byref(count)), "cuGraphGetNodes")
    nodes = (ctypes.c_void_p * count.value)()
    _check(library.cuGraphGetNodes(graph, nodes, ctypes.byref(count)), "cuGraphGetNodes")
    return [ctypes.c_void_p(node) for node in nodes]


def libcuda() -> Any:
    """The driver's library, which ``pycuda.driver`` has loaded already."""
    return ctypes.CDLL("libcuda.so.1")


def _check(result: int, function: str) -> None:
    if result:
        raise EngineError(f"{function} failed with CUDA error {result}")
