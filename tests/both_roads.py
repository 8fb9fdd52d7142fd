"""The compiled library's roads, and those beside them."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from flowgimbal.engines import native

compiled_alone = pytest.mark.skipif(bool(native.why_not()), reason=f"no compiled road: {native.why_not()}")


def both(compiled: ModuleType) -> Any:
    """A fixture by which every test of a file goes the ``compiled`` road, and the one beside it."""

    @pytest.fixture(params=["compiled", "beside"], autouse=True)
    def road(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
        if request.param == "beside":
            monkeypatch.setattr(compiled, "takes", lambda _: False)
        elif native.why_not():
            pytest.skip(f"no compiled road: {native.why_not()}")

    return road
