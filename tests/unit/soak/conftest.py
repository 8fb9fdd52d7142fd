"""The soaks are run with their own folder on the path; so are their tests."""

from __future__ import annotations

import sys
from pathlib import Path

SOAK = str(Path(__file__).parents[2] / "tools" / "soak")
if SOAK not in sys.path:
    sys.path.insert(0, SOAK)
