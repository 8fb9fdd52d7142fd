"""Measuring one clip: the raw side once, every column against it. The project's own measure, from pixels alone."""

from __future__ import annotations

from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import flowgimbal.client.steadiness
from flowgimbal.client.sources import VideoSource
from flowgimbal.client.steadiness import Comparison, Original
from flowgimbal.client.steadiness.gray import UNIT, Gray, gray_frames
from flowgimbal.client.steadiness.still import added_motion, added_shake, standing_path
from quality.clips import Clip
from quality.errors import ColumnError
from quality.figures import Figures
from quality.variants import digest


def measure_digest() -> str:
    """Changes with the measure: figures taken with another one are worth nothing."""
    folder = Path(flowgimbal.client.steadiness.__path__[0])
    return digest(path.read_bytes() for path in (*sorted(folder.glob("*.py")), Path(__file__)))


class Measure:
    """The figures of what was made of one clip."""

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self._original: dict[int, Original] = {}

    def compared(self, output: Path, skipped: int) -> Figures:
        """Every figure of a clip that shakes. Raises ColumnError if too little of it came back."""
        original = self._original.setdefault(skipped, Original(keep=True))
        comparison = Comparison(original)
        for raw, steady in zip(self._frames[skipped:], gray_frames(output), strict=False):
            comparison.add(raw, steady)
        try:
            report = asdict(comparison.report(self._rate))
        except ValueError as error:
            raise ColumnError(str(error)) from error
        shown = comparison.shown()
        return Figures(
            rate=self._rate,
            sent=len(self._frames),
            report=report,
            followed=_rounded(comparison.followed()[:, 0] * UNIT),
            shown=[] if shown is None else _rounded(shown[:, 0] * UNIT),
        )

    def stood(self, output: Path, skipped: int) -> Figures:
        """What was added to a clip that stands."""
        steady = standing_path(gray_frames(output))
        raw = self._standing[skipped : skipped + len(steady)]
        raw = raw - raw[0]
        if not len(raw):
            raise ColumnError("no frame came back")
        return Figures(
            rate=self._rate,
            sent=len(self._frames),
            added=added_motion(raw, steady[: len(raw)]),
            trembling=added_shake(raw, steady[: len(raw)], self._rate),
            standing=added_motion(raw * 0, raw),
        )

    @cached_property
    def _frames(self) -> list[Gray]:
        return list(gray_frames(self._clip.source))

    @cached_property
    def _standing(self) -> flowgimbal.client.steadiness.bands.Path:
        return standing_path(self._frames)

    @cached_property
    def _rate(self) -> float:
        with VideoSource(self._clip.source) as source:
            return float(source.format.rate)


def _rounded(values: flowgimbal.client.steadiness.bands.Path) -> list[float]:
    return [round(float(value), 2) for value in values]
