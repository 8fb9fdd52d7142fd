"""The clips of a run: whose they are, and where their lossless copies and everything made of them is kept."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from quality.errors import QualityError
from quality.variants import digest

_VIDEOS = {".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"}


@dataclass(frozen=True)
class Clip:
    """One clip; ``folder`` holds its copy ``source`` and what the columns made of it."""

    name: str
    folder: Path

    @property
    def source(self) -> Path:
        return self.folder / "source.mp4"


@dataclass(frozen=True)
class Origin:
    """A row of the folder's MANIFEST.tsv: whether pictures of the clip may be shown, and whom to thank."""

    free: bool
    source: str
    licence: str


def find(folder: Path) -> list[Path]:
    """The videos of a folder, by name. Raises QualityError if there is none."""
    if not folder.is_dir():
        raise QualityError(f"{folder}: there is no such folder; name one with shaky clips: make quality CLIPS=FOLDER")
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in _VIDEOS)
    if not found:
        raise QualityError(f"{folder}: there is no video in it")
    return found


def prepare(work: Path, name: str, identity: bytes, make: Callable[[Path], None]) -> Clip:
    """The clip ``name``, its copy made by ``make`` unless it is there; ``identity`` says what it is made of."""
    clip = Clip(name, work / f"{name}-{digest([identity])}")
    if not clip.source.exists():
        clip.folder.mkdir(parents=True, exist_ok=True)
        make(clip.source)
    return clip


def origins(manifest: Path) -> dict[str, Origin]:
    """What the manifest says, by the clip's name without folder and suffix; nothing if there is no manifest."""
    if not manifest.is_file():
        return {}
    with manifest.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file, delimiter="\t")
        return {Path(row["name"]).stem: Origin(row["tier"] == "free", row["source"], row["licence"]) for row in rows}
