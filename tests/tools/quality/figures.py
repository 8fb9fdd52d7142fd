"""What is measured of one column on one clip, and how it is kept."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Figures:
    """``report``: the fields of ``flowgimbal.client.steadiness.Report``. Paths: of the content at the picture's centre
    along x, in px of a 1280 px wide picture, a value a frame. ``added``: motion added to a picture that stands [px],
    ``trembling``: its part above 1 Hz; ``standing``: the motion of the raw one.

    ``failed`` says why there is nothing else.
    """

    failed: str = ""
    rate: float = 0.0
    sent: int = 0
    report: dict[str, float | None] = field(default_factory=dict)
    followed: list[float] = field(default_factory=list)
    shown: list[float] = field(default_factory=list)
    added: float | None = None
    trembling: float | None = None
    standing: float | None = None

    def get(self, name: str) -> float | None:
        """A figure of the report; None if it is not known."""
        return self.report.get(name)


def save(path: Path, figures: Figures) -> None:
    """Write them, whole or not at all."""
    partial = path.with_name(f".partial-{path.name}")
    partial.write_text(json.dumps(asdict(figures), indent=1) + "\n", "utf-8")
    partial.replace(path)


def load(path: Path) -> Figures | None:
    """What was kept; None if nothing was, or nothing that can be read."""
    try:
        kept: Any = json.loads(path.read_text("utf-8"))
        return Figures(**kept)
    except (OSError, ValueError, TypeError):
        return None
