"""What sinks left behind."""

from __future__ import annotations

import json
import time
from pathlib import Path

import av

LIMIT = 90


def lines_of(path: Path) -> list[dict]:
    """The lines of a sidecar that are whole: it may be written to meanwhile."""
    return [json.loads(line) for line in path.read_text().split("\n")[:-1]] if path.exists() else []


def grown(path: Path, least: int) -> list[dict]:
    """The sidecar once it has so many lines; the limit is for a hang, not a measure of speed."""
    limit = time.monotonic() + LIMIT
    while len(lines := lines_of(path)) < least:
        assert time.monotonic() < limit, f"{len(lines)} of {least} lines"
        time.sleep(0.05)
    return lines


def times_of(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(p.pts * p.time_base) for p in container.demux(video=0) if p.size]
