"""The command line as a user runs it: in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flowgimbal.client.assets import BUNDLED_CLIP


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "flowgimbal.client.cli", *map(str, arguments)]


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("FLOWGIMBAL_")}


@pytest.fixture
def flowgimbal(tmp_path):
    """Runs a command in an empty folder; ``.returncode``, ``.stdout``, ``.stderr`` of what it did."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments),
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def steady(tmp_path_factory) -> Path:
    """The bundled clip after ``flowgimbal stabilize`` with its defaults."""
    out = tmp_path_factory.mktemp("stabilized") / "steady.mp4"
    done = subprocess.run(
        command("stabilize", BUNDLED_CLIP, out),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return out
