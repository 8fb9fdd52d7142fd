"""Paths as small SVG pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

_WIDTH, _HEIGHT = 760, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 12, 30, 34
_GRID, _TEXT = "#d0d7de", "#57606a"


@dataclass(frozen=True)
class Line:
    """One path: its name, its colour and a value a frame."""

    name: str
    colour: str
    values: Sequence[float]


def plot(title: str, rate: float, lines: Sequence[Line], axes: str = "seconds; px of 1280 upwards") -> str:
    """An SVG of the lines over time; values in px, ``rate`` in frames/s, unless ``axes`` says otherwise."""
    low = min(min(line.values) for line in lines)
    high = max(max(line.values) for line in lines)
    low, high = (low, high) if high - low > 1 else (low - 1, high + 1)
    seconds = max(len(line.values) - 1 for line in lines) / rate

    def x(second: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * second / max(seconds, 1e-9)

    def y(value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (high - value) / (high - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'font-family="sans-serif" font-size="12" fill="{_TEXT}">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="18" font-weight="bold">{escape(title)}</text>',
    ]
    for value in ticks(low, high):
        parts.append(f'<path d="M{_LEFT} {y(value):.1f}H{_WIDTH - _RIGHT}" stroke="{_GRID}"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>')
    for second in ticks(0.0, seconds):
        parts.append(f'<text x="{x(second):.1f}" y="{_HEIGHT - 16}" text-anchor="middle">{second:g}</text>')
    parts.append(f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 3}" text-anchor="end">{escape(axes)}</text>')
    for number, line in enumerate(lines):
        points = " ".join(f"{x(i / rate):.1f},{y(value):.1f}" for i, value in enumerate(line.values))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{line.colour}" stroke-width="1.6"/>')
        place = _WIDTH - _RIGHT - 130 * (len(lines) - number)
        parts.append(f'<path d="M{place} 14h18" stroke="{line.colour}" stroke-width="3"/>')
        parts.append(f'<text x="{place + 24}" y="18">{escape(line.name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def ticks(low: float, high: float) -> list[float]:
    """Four to eight round values between two others."""
    span = max(high - low, 1e-9)
    power = 10.0
    while power > span:
        power /= 10
    while power * 10 <= span:
        power *= 10
    step = next(power * share for share in (0.2, 0.5, 1, 2) if span / (power * share) <= 8)
    first = int(-(-low // step))
    values = []
    while first * step <= high:
        values.append(round(first * step, 10))
        first += 1
    return values
