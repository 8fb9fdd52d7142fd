"""What stands at the head of a column of the tables: a stabilizer that turns a file into a steadier one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Protocol


class Column(Protocol):
    """One way to steady a clip.

    ``delay`` says in words how many frames it holds back. ``skipped`` frames at the start of the input have no frame in
    the output. ``key`` changes when its results may.
    """

    @property
    def name(self) -> str: ...

    @property
    def delay(self) -> str: ...

    @property
    def ours(self) -> bool: ...

    @property
    def suffix(self) -> str: ...

    @property
    def skipped(self) -> int: ...

    @property
    def key(self) -> str: ...

    def missing(self) -> str:
        """Why it cannot be run here; empty if it can."""

    def steady(self, source: Path, target: Path) -> None:
        """Write ``target``. Raises ColumnError."""


def slug(name: str) -> str:
    """``name`` as a part of a file name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
