"""docker/licences.toml: which licence is whose, and which may be where."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).parent.parent / "docker" / "licences.toml"


@dataclass(frozen=True)
class Licences:
    """Expressions are SPDX, of names with AND and OR, without brackets."""

    packages: dict[str, str]
    bundled: dict[str, dict[str, str]]  # by package, by library
    permissive: frozenset[str]
    bundled_only: frozenset[str]
    gpu_only: frozenset[str]


def table() -> Licences:
    """What the file says."""
    data = tomllib.loads(TABLE.read_text())
    return Licences(
        packages=data["packages"],
        bundled=data["bundled"],
        permissive=frozenset(data["permissive"]),
        bundled_only=frozenset(data["bundled_only"]),
        gpu_only=frozenset(data["gpu_only"]),
    )


def names(expression: str) -> list[list[str]]:
    """The licences that all hold, each as the alternatives among which one may choose."""
    return [part.split(" OR ") for part in expression.split(" AND ")]


def is_allowed(expression: str, allowed: frozenset[str]) -> bool:
    """Whether everything that holds can be met by a licence that is allowed."""
    return all(any(name in allowed for name in choice) for choice in names(expression))
