"""The tokens that clients may show: read from a file or from settings, pure.

A file is TOML, a table a holder::

    [camera-7]
    token = "..."                          # or sha256 = "...", of the token, in hexadecimal digits
    max_streams = 2
    max_pixels_per_second = 55_296_000     # 1280x720 at 60 Hz
    observe = true                         # may watch and tune the streams of other holders, too
"""

from __future__ import annotations

import hashlib
import math
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

LEAST_LENGTH = 16
"""Characters; what is shorter can be guessed."""
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_KEYS = frozenset({"token", "sha256", "max_streams", "max_pixels_per_second", "observe"})


@dataclass(frozen=True, slots=True)
class Grant:
    """What one token allows. None: no limit of its own."""

    name: str
    digest: bytes = field(repr=False)  # SHA-256 of the token: a dump of the memory does not give it away
    max_streams: int | None = None
    max_pixels_per_second: float | None = None
    observe: bool = False


def digest(token: str) -> bytes:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).digest()


def read(text: str) -> tuple[Grant, ...]:
    """The grants of a file; ValueError, naming the table and the key but never the token, for what is none."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        # The message may quote the file: its place is enough.
        where = re.search(r"\(at .*\)$", str(error))
        raise ValueError(f"it is not TOML {where.group() if where else ''}".rstrip()) from None
    grants = tuple(_grant(name, table) for name, table in document.items())
    if not grants:
        raise ValueError('it has no token; write e.g. [camera-7] and below it token = "..."')
    return unique(grants)


def of_pairs(pairs: Iterable[str]) -> tuple[Grant, ...]:
    """The grants of ``NAME:TOKEN`` each, without limits; ValueError as for ``read``."""
    grants = []
    for number, pair in enumerate(pairs, 1):
        name, colon, token = pair.partition(":")
        if not colon or not name:
            raise ValueError(f"number {number} is not NAME:TOKEN")
        grants.append(Grant(name, digest(long_enough(f"[{name}] token", token))))
    return unique(grants)


def long_enough(what: str, token: str) -> str:
    """The token; ValueError, naming ``what`` it is, for one that can be guessed or that no header carries."""
    if len(token) < LEAST_LENGTH or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError(f"{what}: not {LEAST_LENGTH} or more printable ASCII characters without blanks")
    return token


def _grant(name: str, table: Any) -> Grant:
    if not isinstance(table, dict):
        raise ValueError(f"{name}: not in a table; write [NAME] and below it token = ...")
    unknown = sorted(table.keys() - _KEYS)
    if unknown:
        raise ValueError(f"[{name}] {unknown[0]}: unknown key; known are {', '.join(sorted(_KEYS))}")
    if ("token" in table) == ("sha256" in table):
        raise ValueError(f"[{name}] needs one of token, sha256")
    observe = table.get("observe", False)
    if not isinstance(observe, bool):
        raise ValueError(f"[{name}] observe: neither true nor false")
    streams = _positive(name, table, "max_streams")
    if streams is not None and streams != int(streams):
        raise ValueError(f"[{name}] max_streams: not a whole number")
    return Grant(
        name,
        _digest_of(name, table),
        None if streams is None else int(streams),
        _positive(name, table, "max_pixels_per_second"),
        observe,
    )


def _digest_of(name: str, table: Mapping[str, Any]) -> bytes:
    key, value = ("token", table["token"]) if "token" in table else ("sha256", table["sha256"])
    if not isinstance(value, str):
        raise ValueError(f"[{name}] {key}: not a string")
    if key == "token":
        return digest(long_enough(f"[{name}] token", value))
    if not _SHA256.fullmatch(value):
        raise ValueError(f"[{name}] sha256: not 64 hexadecimal digits")
    return bytes.fromhex(value)


def _positive(name: str, table: Mapping[str, Any], key: str) -> float | None:
    value = table.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"[{name}] {key}: not a number above 0")
    return value


def unique(grants: Sequence[Grant]) -> tuple[Grant, ...]:
    """``grants``, if no two of them have a name or a token in common; else ValueError, naming them."""
    seen: dict[bytes, str] = {}
    for grant in grants:
        if grant.name in seen.values():
            raise ValueError(f"[{grant.name}] is there twice")
        if grant.digest in seen:
            raise ValueError(f"[{grant.name}] has the token of [{seen[grant.digest]}]")
        seen[grant.digest] = grant.name
    return tuple(grants)
