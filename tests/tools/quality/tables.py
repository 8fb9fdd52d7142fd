"""Figures as Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from quality.column import Column
from quality.figures import Figures
from quality.untouched import Untouched

Results = Mapping[str, Mapping[str, Figures]]
"""By clip, then by the column's name."""

UNKNOWN = "-"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column is text and whose others are numbers."""
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def summary(columns: Sequence[Column], results: Results) -> str:
    """A row a column: means over all clips that it did, and its worst."""
    rows = []
    for column in columns:
        if column.missing():
            rows.append([_named(column), column.delay, f"not measured: {column.missing()}", *[""] * 7])
            continue
        gains = known(results, column, "gain_db")
        if not gains:
            rows.append([_named(column), column.delay, "failed on every clip", *[""] * 7])
            continue
        worst = min(gains, key=gains.__getitem__)
        dist5, black = known(results, column, "dist5"), known(results, column, "black")
        rows.append(
            [
                _named(column),
                column.delay,
                f"{fmean(gains.values()):.1f}",
                f"{gains[worst]:.1f} ({worst})",
                _mean(known(results, column, "fov"), 3),
                _mean(known(results, column, "wobble"), 2),
                f"{min(dist5.values()):.3f}" if dist5 else UNKNOWN,
                _mean(black, 3),
                f"{max(black.values()):.3f}",
                _returned(results, column),
            ]
        )
    head = ["", "delay", "gain, mean [dB]", "worst clip [dB]", "fov, mean", "wobble, mean", "dist5, least"]
    return table([*head, "black, mean", "black, most", "frames returned"], rows)


def by_clip(columns: Sequence[Column], results: Results, name: str, digits: int) -> str:
    """A row a clip, a column a column: one figure, of all but the input."""
    there = [column for column in columns if not column.missing() and not isinstance(column, Untouched)]
    shake = {
        clip: next((f.get("shake_in") for f in row.values() if not f.failed), None) for clip, row in results.items()
    }
    rows = [
        [clip, _number(shake[clip], 1), *(_cell(row.get(column.name), name, digits) for column in there)]
        for clip, row in results.items()
    ]
    return table(["clip", "shake of the input [px]", *(column.name for column in there)], rows)


def pans(columns: Sequence[Column], results: Mapping[str, Figures]) -> str:
    """How the pan of the made clip comes through: a row a column."""
    wanted: list[tuple[str, str, int]] = [
        ("amplitude kept", "pan_kept", 3),
        ("overshoot [px]", "pan_overshoot", 1),
        ("lag [frames]", "pan_lag_frames", 1),
        ("correlation below 0.5 Hz", "pan_correlation", 4),
        ("gain [dB]", "gain_db", 1),
        ("black", "black", 3),
    ]
    rows = [
        [_named(column), *(_cell(results.get(column.name), name, digits) for _, name, digits in wanted)]
        for column in columns
        if not column.missing()
    ]
    return table(["", *(title for title, _, _ in wanted)], rows)


def stillness(columns: Sequence[Column], results: Results) -> str:
    """What is added to pictures that stand: a row a clip."""
    there = [column for column in columns if not column.missing() and not isinstance(column, Untouched)]

    def added(figures: Figures | None) -> str:
        if figures is None:
            return UNKNOWN
        return f"{_number(figures.added, 3)} / {_number(figures.trembling, 3)}"

    rows = []
    for clip, row in results.items():
        own = next((figures.standing for figures in row.values() if figures.standing is not None), None)
        rows.append([clip, _number(own, 3), *(added(row.get(column.name)) for column in there)])
    return table(["clip", "the input's own [px]", *(column.name for column in there)], rows)


def failures(results: Results) -> list[str]:
    """A line a column and clip that came to nothing."""
    return [
        f"{name} on {clip}: {figures.failed}"
        for clip, row in results.items()
        for name, figures in row.items()
        if figures.failed
    ]


def known(results: Results, column: Column, name: str) -> dict[str, float]:
    """One figure of a column by clip, where it is known."""
    found = {clip: row[column.name].get(name) for clip, row in results.items() if column.name in row}
    return {clip: value for clip, value in found.items() if value is not None}


def _returned(results: Results, column: Column) -> str:
    """The share of the frames that came back, over the clips that it did."""
    done = [row[column.name] for row in results.values() if column.name in row and not row[column.name].failed]
    back, sent = (sum(figures.get("frames") or 0 for figures in done), sum(figures.sent for figures in done))
    return f"{100 * back / sent:.0f} %" if sent else UNKNOWN


def _cell(figures: Figures | None, name: str, digits: int) -> str:
    if figures is None:
        return UNKNOWN
    return "failed" if figures.failed else _number(figures.get(name), digits)


def _number(value: float | None, digits: int) -> str:
    return UNKNOWN if value is None else f"{value:.{digits}f}"


def _mean(values: Mapping[str, float], digits: int) -> str:
    return f"{fmean(values.values()):.{digits}f}" if values else UNKNOWN


def _named(column: Column) -> str:
    return f"**{column.name}**" if column.ours else column.name
