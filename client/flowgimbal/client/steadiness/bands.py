"""The part of a camera path that is shake: a zero-phase Butterworth high-pass of order four."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from flowgimbal.client.steadiness.gray import UNIT

Path = NDArray[np.float64]
Section = tuple[float, float, float]

SHAKE_HZ = 1.0
"""Above it a viewer sees shake; pans and zooms stay below."""


def shake(path: Path, rate: float) -> float:
    """RMS of ``path`` (T, points, 2) [px] above one hertz, in px of a 1280 px wide picture; ``rate`` is in frames/s.

    The ends, where the filter has seen little, are left out.
    """
    margin = min(int(0.3 * rate), len(path) // 8)
    part = high_pass(path, rate, SHAKE_HZ)[margin : len(path) - margin]
    return float(np.sqrt((part**2).sum(-1).mean())) * UNIT


def accel(path: Path) -> float:
    """RMS second difference of ``path``: fine jitter, in px/frame^2 of a 1280 px wide picture."""
    return float(np.sqrt((np.diff(path, 2, axis=0) ** 2).sum(-1).mean())) * UNIT


def high_pass(path: Path, rate: float, edge: float) -> Path:
    """``path`` (T, ...) above ``edge`` [Hz], without delay: filtered forwards, then backwards.

    Three periods of the path, turned by 180 degrees about either end, stand before and after it, so that neither a
    start nor an end looks like a jolt.
    """
    pad = min(len(path) - 1, int(3 * rate / edge))
    before, after = 2 * path[0] - path[pad:0:-1], 2 * path[-1] - path[-2 : -pad - 2 : -1]
    signal = np.concatenate([before, path, after])
    for section in butterworth(rate, edge):
        signal = _run(signal, section)
    signal = signal[::-1]
    for section in butterworth(rate, edge):
        signal = _run(signal, section)
    return signal[::-1][pad : pad + len(path)]


def butterworth(rate: float, edge: float) -> tuple[Section, Section]:
    """The two second-order sections (gain, a1, a2) of a digital Butterworth high-pass of order four.

    Each is gain (1 - 2/z + 1/z^2) / (1 + a1/z + a2/z^2): the analogue filter's pole pairs, bilinear transform.
    """
    k = math.tan(math.pi * edge / rate)
    sections = []
    for angle in (math.pi / 8, 3 * math.pi / 8):
        damping = 2 * math.cos(angle) * k
        gain = 1 / (1 + damping + k * k)
        sections.append((gain, 2 * (k * k - 1) * gain, (1 - damping + k * k) * gain))
    return sections[0], sections[1]


def _run(signal: Path, section: Section) -> Path:
    """One section over ``signal`` (T, ...), begun as if the first value had stood for ever."""
    gain, a1, a2 = section
    out = np.empty_like(signal)
    first, second = -gain * signal[0], gain * signal[0]
    for i, value in enumerate(signal):
        result = gain * value + first
        first = -2 * gain * value - a1 * result + second
        second = gain * value - a2 * result
        out[i] = result
    return out
