"""What a process that moves pictures has to tell its allocator and its libraries."""

from __future__ import annotations

import ctypes
import functools
import resource
from typing import Any

import cv2
from threadpoolctl import threadpool_limits

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
DESCRIPTORS_BESIDE = 256
"""Kept for all that is no client's connection: libraries, files, pipes."""
DESCRIPTORS_A_DECODER = 2
"""Of one that runs apart: the line to it, and its memory."""


def tune() -> None:
    """Keep freed frames in the process, OpenCV and BLAS to the thread that calls them. Call it before the first frame.

    glibc maps every block above its threshold anew, faults it in page by page and unmaps it: for frames that costs more
    than the work on them. A stream has several threads already; more of them only get in each other's way.
    """
    cv2.setNumThreads(1)
    threadpool_limits(1, user_api="blas")
    libc = _glibc()
    if libc is not None:
        libc.mallopt(_M_MMAP_THRESHOLD, 32 << 20)
        libc.mallopt(_M_TRIM_THRESHOLD, 512 << 20)
        # By default threads spread over eight heaps a core, and each would keep the largest stream it ever saw.
        libc.mallopt(_M_ARENA_MAX, 2)


def connections(wanted: int, addresses: int, decoders: int) -> int:
    """How many of ``wanted`` connections to each of its addresses this process has descriptors for.

    ``decoders``: those that may run apart at a time. Raises the process's soft limit to what is needed and allowed.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    beside = DESCRIPTORS_BESIDE + decoders * DESCRIPTORS_A_DECODER
    allowed = wanted * addresses + beside
    if hard != resource.RLIM_INFINITY:
        allowed = min(allowed, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return max(1, min(wanted, (allowed - beside) // addresses))


def release() -> None:
    """Give what ``tune`` made the process keep back to the system: a stream ended."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


@functools.cache
def _glibc() -> Any:
    try:
        libc = ctypes.CDLL(None)
        if libc.mallopt and libc.malloc_trim:
            return libc
    except (OSError, AttributeError):
        pass
    return None
