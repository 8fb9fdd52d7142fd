"""What is kept of a run: a column's video and figures for a clip, until what they were made of changes."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from quality.clips import Clip
from quality.column import Column, slug
from quality.errors import ColumnError
from quality.figures import Figures, load, save


class Store:
    """Under a clip's folder: ``<column>-<key>.<suffix>`` and, measured by ``measure_key``, the figures beside it."""

    def __init__(self, measure_key: str) -> None:
        self._measure_key = measure_key

    def video(self, clip: Clip, column: Column) -> Path:
        """What the column makes of the clip, made now if it is not there. Raises ColumnError."""
        target = clip.folder / f"{slug(column.name)}-{column.key}{column.suffix}"
        if not target.exists():
            self._forget(clip, column)
            partial = target.with_name(f".partial-{target.name}")
            partial.unlink(missing_ok=True)
            column.steady(clip.source, partial)
            if not partial.exists():
                raise ColumnError("it wrote no video")
            partial.replace(target)
        return target

    def kept(self, clip: Clip, column: Column) -> Figures | None:
        """The figures, if they were taken before."""
        return load(self._place(clip, column))

    def figures(self, clip: Clip, column: Column, measure: Callable[[Path, int], Figures]) -> Figures:
        """The figures, taken now if they are not there. A peer that fails on a clip fails as well tomorrow: it is kept.

        Raises ColumnError if one of ours fails.
        """
        kept = self.kept(clip, column)
        if kept is not None:
            return kept
        try:
            found = measure(self.video(clip, column), column.skipped)
        except ColumnError as error:
            if column.ours:
                raise ColumnError(f"{column.name} on {clip.name}: {error}") from error
            found = Figures(failed=str(error))
        save(self._place(clip, column), found)
        return found

    def _place(self, clip: Clip, column: Column) -> Path:
        return clip.folder / f"{slug(column.name)}-{column.key}-{self._measure_key}.json"

    def _forget(self, clip: Clip, column: Column) -> None:
        """Remove what older code or weights made: a video a clip, column and day would fill the disk."""
        own = re.compile(rf"{re.escape(slug(column.name))}-[0-9a-f]{{{len(column.key)}}}[-.].*")
        for old in clip.folder.iterdir():
            if own.fullmatch(old.name):
                old.unlink()
