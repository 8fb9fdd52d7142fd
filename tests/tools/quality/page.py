"""``docs/quality.md``, whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quality import tables
from quality.clips import Origin
from quality.column import Column
from quality.figures import Figures
from quality.peers import CROP
from quality.synthetic import NOISE, RATE, SIZE, SPEED
from quality.tables import Results

_INTRODUCTION = """\
# Quality, measured

<!-- Written by `make quality`; what is changed here by hand is lost. -->

    make quality                    # clips from ../shared/data/shaky, peers into .venv-peers, videos into build/quality
    make quality CLIPS=my/clips     # your own

Every clip goes through `flowgimbal stabilize`, that is through a server and its RPC, with the default crop of 10 %, and
through the stabilizers that users have, with their defaults. The measure is that of `flowgimbal evaluate`: it sees
pixels alone and knows none of them. What is there already is not made again; our own results are made again when the
weights or the code of server or engines change."""

_LEGEND = """\
*Gain*: how much of the shake above 1 Hz is gone, 20 log10(before / after). *fov*: side of the picture that stays
visible. *Wobble*: motion that no homography explains, after over before. *dist5*: ratio of the two stretches of the
picture, fifth percentile of the frames of a clip, least over the clips (1: shapes are kept). *Black*: share of the
picture that is black and touches its border; a dark clip has some of its own. A *delay* is how many frames come before
the first one returns. *Crop alone* enlarges the middle nine tenths and moves nothing."""


@dataclass(frozen=True)
class Page:
    """All that the page tells. ``plots`` and ``stills`` are names and paths relative to the page."""

    machine: str
    peers: Sequence[str]
    limit: int
    columns: Sequence[Column]
    results: Results
    pan: Mapping[str, Figures]
    stillness: Results
    plots: Sequence[tuple[str, str]]
    stills: Sequence[tuple[str, str]]
    origins: Mapping[str, Origin]

    def text(self) -> str:
        """The Markdown."""
        sections = [_INTRODUCTION, f"Measured on {self.machine}.{self._peers()}", self._means(), self._clips()]
        if self.pan:
            sections.append(self._pan())
        if self.stillness:
            sections.append(self._stillness())
        if self.plots:
            sections.append(self._plots())
        if self.stills:
            sections.append(self._stills())
        failed = tables.failures({**self.results, "pan": self.pan, **self.stillness})
        if failed:
            sections.append("## What came to nothing\n\n" + "\n".join(f"* {line}" for line in failed))
        return "\n\n".join(sections) + "\n"

    def _peers(self) -> str:
        return f" Peers: {', '.join(self.peers)}." if self.peers else ""

    def _means(self) -> str:
        title = f"## {len(self.results)} clips, the first {self.limit} frames of each"
        return "\n\n".join([title, tables.summary(self.columns, self.results), _LEGEND])

    def _clips(self) -> str:
        parts = ["## Clip by clip", "Gain [dB]:", tables.by_clip(self.columns, self.results, "gain_db", 1)]
        parts += ["Wobble, after over before:", tables.by_clip(self.columns, self.results, "wobble", 2)]
        return "\n\n".join(parts)

    def _pan(self) -> str:
        said = (
            f"A photo, {SIZE[0]}x{SIZE[1]} at {RATE} frames a second with a sensor's noise: rest, a pan of {SPEED:g} "
            "px/s, rest, and back, under the shake above half a hertz that a hand-held camera was recorded with. "
            "*Amplitude kept*: range of the path shown over that of the path filmed. *Overshoot*: how far it leaves "
            "the range that was filmed within a second, in px of a 1280 px wide picture. Both are taken from the paths "
            "below half a hertz."
        )
        return "\n\n".join(["## Pans", said, tables.pans(self.columns, self.pan)])

    def _stillness(self) -> str:
        said = (
            "Motion added to a camera that stands, RMS in px of a 1280 px wide picture: a photo under nothing but "
            f"noise (standard deviation {NOISE:g} of 255, another one each frame), and fixed cameras. All of it / what "
            f"is above 1 Hz: the rest drifts. What *{CROP}* adds comes of enlarging and coding: nothing moves there."
        )
        return "\n\n".join(["## Steady input", said, tables.stillness(self.columns, self.stillness)])

    def _plots(self) -> str:
        said = "Where the content at the picture's centre is, from left to right: as filmed, and as shown."
        return "\n\n".join(["## Paths", said, *(f"![{name}]({path})" for name, path in self.plots)])

    def _stills(self) -> str:
        said = "Some consecutive frames averaged: what shakes is smeared."
        parts = ["## Before and after", said]
        for name, path in self.stills:
            origin = self.origins[name]
            parts.append(
                f"![{name}]({path})\n\n*{name}: {origin.licence}; from {origin.source}; cut, scaled, averaged.*"
            )
        return "\n\n".join(parts)
