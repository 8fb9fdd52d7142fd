"""The tools of .ci are run with their own folder on the path; so are their tests."""

from __future__ import annotations

import sys
from pathlib import Path

TOOLS = str(Path(__file__).parents[3] / ".ci")
if TOOLS not in sys.path:
    sys.path.insert(0, TOOLS)
