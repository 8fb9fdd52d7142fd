"""A card that is not there: see ``tests/tools/fake_card.py``."""

from __future__ import annotations

import ctypes
import shutil
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fake_card
import pytest

from flowgimbal.engines.gpu.card import Card

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(str(resources.files("flowgimbal.engines.gpu"))) / "kernels.cu"


@pytest.fixture(scope="session")
def host_kernels(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    if shutil.which("g++") is None:
        pytest.skip("needs g++, to compile the kernels for the host")
    return fake_card.compile_kernels(SOURCE, tmp_path_factory.mktemp("kernels"))


@pytest.fixture
def driver(host_kernels: ctypes.CDLL) -> fake_card.FakeDriver:
    return fake_card.FakeDriver(host_kernels)


@pytest.fixture
def card(driver: Any) -> Iterator[Card]:
    """At its end nothing is left of what was allocated."""
    card = Card(driver)
    yield card
    card.close()
    assert not driver.live
