"""Classical flow as alternative and yardstick: OpenCV's dense inverse search (DIS; Kroeger et al., ECCV 2016)."""

from __future__ import annotations

import threading

import cv2
import numpy as np
from numpy.typing import NDArray

from flowgimbal.engines.engine import FlowField, Luma, Memory
from flowgimbal.engines.shapes import STRIDE

PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}
# As in networks/polish.py, which says why.
SOFT = 0.85  # pixels
WINDOW = (20, 20)
GRAIN = 1e-3
FAINT = 2.55  # grey levels; a picture of less contrast is not brought to one


class DisFlow:
    """Dense inverse search on the flow network's input; the memory is the luma itself."""

    def __init__(self, preset: str = "medium") -> None:
        self._preset = PRESETS[preset]
        self._local = threading.local()  # a DIS object has buffers of its own: one for each thread

    def flow(self, luma: Luma, memory: Memory | None) -> tuple[FlowField | None, Memory]:
        """See ``FlowMeter.flow``; DIS says nothing of its error, so that texture stands in for sureness."""
        if memory is None or memory.shape != luma.shape:
            return None, luma
        dis = getattr(self._local, "dis", None)
        if dis is None:
            dis = self._local.dis = cv2.DISOpticalFlow.create(self._preset)
        dense = dis.calc(memory, luma, None)  # type: ignore[call-overload]
        cells = (luma.shape[1] // STRIDE, luma.shape[0] // STRIDE)
        flow = cv2.resize(dense, cells, interpolation=cv2.INTER_AREA).transpose(2, 0, 1)
        return FlowField(np.ascontiguousarray(flow), _scale(memory, cells), _texture(memory, cells)), luma


def _scale(luma: Luma, cells: tuple[int, int]) -> NDArray[np.float32]:
    gradient = np.abs(cv2.Sobel(luma, cv2.CV_32F, 1, 0)) + np.abs(cv2.Sobel(luma, cv2.CV_32F, 0, 1))
    texture = cv2.resize(gradient, cells, interpolation=cv2.INTER_AREA)
    scale: NDArray[np.float32] = (0.1 + 8.0 / (texture + 2.0)).astype(np.float32)
    return scale


def _texture(luma: Luma, cells: tuple[int, int]) -> NDArray[np.float32]:
    """As of ``FlowField``, and nearly as the flow network measures it (``networks/polish.py``)."""
    normal = luma.astype(np.float32) / np.float32(np.sqrt(luma.var() + FAINT**2))
    soft = cv2.GaussianBlur(normal, (0, 0), SOFT)
    gx, gy = (0.5 * cv2.Sobel(soft, cv2.CV_32F, x, 1 - x, ksize=1) for x in (1, 0))
    x, y, xx, xy, yy = (
        np.asarray(cv2.resize(cv2.blur(part, WINDOW), cells, interpolation=cv2.INTER_AREA))
        for part in (gx, gy, gx * gx, gx * gy, gy * gy)
    )
    xx, xy, yy = np.maximum(xx - x * x, 0), xy - x * y, np.maximum(yy - y * y, 0)
    square = np.maximum(xx * yy - xy * xy, 0)
    told = np.stack([square + GRAIN * xx, GRAIN * xy, square + GRAIN * yy]) / (square + GRAIN * (xx + yy + GRAIN))
    return np.asarray(told, np.float32)
