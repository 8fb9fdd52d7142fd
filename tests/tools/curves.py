"""Draws training curves: ``python tests/tools/curves.py TITLE OUT.svg curve.jsonl [curve.jsonl ...]``.

Each file is what a run of ``flowgimbal train warp`` left in its folder; later runs go on where earlier ones ended.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from quality.plots import Line, plot

COLOURS = {"0": "#cf222e", "5": "#0969da", "15": "#1a7f37"}  # by look-ahead


def main(title: str, out: str, *files: str) -> None:
    """Gain on the paths that only validate, over training steps."""
    rows = [json.loads(line) for file in files for line in Path(file).read_text().splitlines()]
    step = rows[1]["step"] - rows[0]["step"]
    lines = [Line(f"look-ahead {k}", c, [row["mean gain"][k] for row in rows]) for k, c in COLOURS.items()]
    Path(out).write_text(plot(title, 1 / step, lines, "steps; dB of shake removed upwards"), "utf-8")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
