from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

TOOLS = str(Path(__file__).parents[2] / "tools")
if TOOLS not in sys.path:
    sys.path.insert(0, TOOLS)


@pytest.fixture(autouse=True, scope="session")
def helm():
    if find_spec("helm_python") is None:
        pytest.skip("needs Helm's code: helm-python-sdk, which has no wheel for every platform")
