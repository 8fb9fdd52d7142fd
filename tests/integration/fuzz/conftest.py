"""The fuzzers are run with ``tests`` and ``tests/tools/hostile`` on the path; so are their tests."""

from __future__ import annotations

import sys
from pathlib import Path

TESTS = Path(__file__).parents[2]
for folder in map(str, (TESTS, TESTS / "tools" / "hostile")):
    if folder not in sys.path:
        sys.path.insert(0, folder)
