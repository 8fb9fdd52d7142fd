"""The input as a column: what a clip has of black, and what the measure says where there is nothing to say."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Untouched:
    """Does nothing."""

    name: str = "input"
    delay: str = "-"
    ours: bool = False
    suffix: str = ".mp4"
    skipped: int = 0
    key: str = "0" * 12

    def missing(self) -> str:
        return ""

    def steady(self, source: Path, target: Path) -> None:
        try:
            target.hardlink_to(source)
        except OSError:  # a file system without links
            shutil.copyfile(source, target)
