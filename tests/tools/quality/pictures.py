"""The pictures of the page: paths of telling clips, and before and after of those that may be shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from quality.clips import Clip, Origin
from quality.column import Column, slug
from quality.errors import ColumnError
from quality.figures import Figures
from quality.plots import Line, plot
from quality.stills import mean_frame, shakiest, strip
from quality.store import Store
from quality.tables import Results

TELLING = ("nus_regular_tower", "city_run", "mountain_pan", "car_chase_blur", "desk_slowroll", "cockatoo_720p")
"""Walking, running, a pan, a chase, a slow roll, a bird that fills the picture, on which we fail.

Where a folder has none of them, its shakiest clips.
"""

_PLOTTED = 5
_STILLS = 4
_FILMED, _COLOURS = "#8c959f", ("#cf222e", "#0969da", "#1a7f37")


def draw_paths(results: Results, pan: Mapping[str, Figures], shown: Sequence[Column], folder: Path) -> list[str]:
    """Write an SVG a clip, named after it, and say for which clips."""
    drawn: list[str] = []
    for clip in (*telling(results), "pan"):
        row = pan if clip == "pan" else results[clip]
        found = [(column, row[column.name]) for column in shown if column.name in row and row[column.name].shown]
        if not found:
            continue
        lines = [Line("filmed", _FILMED, found[0][1].followed)]
        lines += [
            Line(column.name, colour, figures.shown) for (column, figures), colour in zip(found, _COLOURS, strict=False)
        ]
        (folder / f"path-{slug(clip)}.svg").write_text(plot(clip, found[0][1].rate, lines), "utf-8")
        drawn.append(clip)
    return drawn


def telling(results: Results) -> list[str]:
    """The clips whose paths are drawn."""
    chosen = [clip for clip in TELLING if clip in results]
    if not chosen:
        shake = {
            clip: max((f.get("shake_in") or 0.0 for f in row.values()), default=0.0) for clip, row in results.items()
        }
        chosen = sorted(sorted(shake, key=shake.__getitem__, reverse=True)[:_PLOTTED])
    return chosen


def draw_stills(
    clips: Sequence[Clip],
    origins: Mapping[str, Origin],
    results: Results,
    shown: Sequence[Column],
    store: Store,
    folder: Path,
) -> list[str]:
    """Write a JPEG for each clip whose licence allows it, named after it, and say for which."""
    drawn: list[str] = []
    for clip in clips:
        if clip.name not in origins or not origins[clip.name].free or len(drawn) == _STILLS:
            continue
        followed = results[clip.name][shown[0].name].followed
        first = shakiest(followed)
        panels = [("filmed", mean_frame(clip.source, first))]
        try:
            panels += [(column.name, mean_frame(store.video(clip, column), first)) for column in shown]
        except ColumnError:
            continue
        (folder / f"{slug(clip.name)}.jpg").write_bytes(strip(panels))
        drawn.append(clip.name)
    return drawn
