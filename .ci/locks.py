"""What the files in docker/locks pin, as ``uv pip compile`` writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

LOCKS = Path(__file__).parent.parent / "docker" / "locks"
_PIN = re.compile(
    r"(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;]+)(?: ; (?P<marker>[^\\]+?))?(?P<hashes>(?: --hash=\S+)*)"
)


@dataclass(frozen=True)
class Pin:
    """One release and the files of it that may be installed; ``name`` is normalized as by PEP 503."""

    name: str
    version: str
    marker: str
    sha256: tuple[str, ...]


def normalized(name: str) -> str:
    """PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(text: str) -> dict[str, Pin]:
    """By name. ValueError for a line that is no pin, and for a name that is pinned twice."""
    found: dict[str, Pin] = {}
    without_comments = re.sub(r"(?m)^\s*#.*$", "", text)
    for line in re.sub(r"\\\n\s*", "", without_comments).splitlines():
        if not line.strip():
            continue
        match = _PIN.fullmatch(line.rstrip())
        if match is None:
            raise ValueError(f"no pin: {line}")
        hashes = match["hashes"].split()
        if strangers := [one for one in hashes if not re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", one)]:
            raise ValueError(f"no SHA-256: {strangers[0]}")
        name = normalized(match["name"])
        if name in found:
            raise ValueError(f"{name} is pinned twice")
        sha256 = tuple(one.removeprefix("--hash=sha256:") for one in hashes)
        found[name] = Pin(name, match["version"], match["marker"] or "", sha256)
    return found


def lock(name: str) -> dict[str, Pin]:
    """The pins of ``docker/locks/NAME.txt``."""
    return pins((LOCKS / f"{name}.txt").read_text())
