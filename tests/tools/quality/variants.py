"""Our own columns: one line a variant."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from quality.process import run

ROOT = Path(__file__).parents[3]

# What turns frames into frames; how the networks are trained does not.
_SOURCES = ("engines/flowgimbal/engines", "server/flowgimbal/server")
_KINDS = {".py", ".c", ".h", ".onnx", ".npz"}
_NOT_RUN = ("training", "networks", "half", "export.py")


@dataclass(frozen=True)
class Variant:
    """``flowgimbal stabilize IN OUT`` with more arguments, through a server of its own."""

    name: str
    delay: str
    arguments: tuple[str, ...]
    ours: bool = True
    suffix: str = ".mkv"
    skipped: int = 0

    @property
    def key(self) -> str:
        """Changes with the weights, the code that runs them and the arguments."""
        return digest([code_digest().encode(), *(argument.encode() for argument in self.arguments)])

    def missing(self) -> str:
        return ""

    def steady(self, source: Path, target: Path) -> None:
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "flowgimbal.client.cli",
            "stabilize",
            source,
            target,
            *self.arguments,
        ]
        run(command)


OURS = (
    Variant("look-ahead 0", "0 frames", ("--look-ahead-frames", "0")),
    Variant("look-ahead 5", "5 frames", ("--look-ahead-frames", "5")),
    Variant("look-ahead 15", "15 frames", ("--look-ahead-frames", "15")),
    Variant("homography, look-ahead 0", "0 frames", ("--look-ahead-frames", "0", "--warp", "homography")),
    Variant("transformer, look-ahead 0", "0 frames", ("--look-ahead-frames", "0", "--warp", "transformer")),
    Variant("flow by DIS medium, look-ahead 0", "0 frames", ("--look-ahead-frames", "0", "--flow", "dis")),
    Variant("flow by DIS medium, look-ahead 15", "15 frames", ("--look-ahead-frames", "15", "--flow", "dis")),
)


@cache
def code_digest() -> str:
    """Of the committed weights and of the sources of server and engines; taken once a run."""
    return digest(part for path in _code() for part in (str(path.relative_to(ROOT)).encode(), path.read_bytes()))


def _code() -> list[Path]:
    found = (path for folder in _SOURCES for path in (ROOT / folder).rglob("*") if path.suffix in _KINDS)
    return sorted(path for path in found if not any(part in _NOT_RUN for part in path.relative_to(ROOT).parts))


def digest(parts: Iterable[bytes]) -> str:
    """Twelve hex digits that change when one of the parts does."""
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()[:12]
