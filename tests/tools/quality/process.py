"""Running other programs: quietly, and with the end of what they said if they fail."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from quality.errors import ColumnError

_SAID_CHARACTERS = 300


def run(command: Sequence[str | Path], folder: Path | None = None) -> str:
    """What the command says on stdout. Raises ColumnError if it fails or is not there."""
    # A setting of ours in the environment would change every column of ours.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FLOWGIMBAL_")}
    try:
        done = subprocess.run(
            [str(part) for part in command], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise ColumnError(f"{Path(command[0]).name}: {error.strerror}") from error
    if done.returncode:
        said = " ".join(done.stderr.split())[-_SAID_CHARACTERS:]
        raise ColumnError(f"{Path(command[0]).name} ended with {done.returncode}: {said}")
    return done.stdout
