"""What a process that moves pictures has to set once, at its start."""

from __future__ import annotations

import ctypes

import cv2

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def tune() -> None:
    """Keep freed frames in the process, and OpenCV to the thread that calls it. Call it before the first frame.

    glibc maps every block above its threshold anew, faults it in page by page and unmaps it: for frames that costs more
    than the work on them. A stream has a thread a stage already; more of them in OpenCV only get in each other's way.
    """
    cv2.setNumThreads(1)
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return  # not glibc
    mallopt(_M_MMAP_THRESHOLD, 32 << 20)
    mallopt(_M_TRIM_THRESHOLD, 512 << 20)
