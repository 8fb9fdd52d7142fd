"""What sinks are given: one picture as it goes out, and the frame that it came in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from flowgimbal.client.frame import SteadyFrame
from flowgimbal.client.settings import Encoding
from flowgimbal.client.sources.unit import Klv


@dataclass(frozen=True, slots=True)
class Shot:
    """``key``: a decoder can begin here; ``steady`` None for a raw picture.

    ``time_ns`` is that of presentation, ``decode_ns`` that of decoding where they differ: it rises from shot to shot.
    ``klv`` is the metadata that belongs here, None where the source has none at all. ``start_ns`` is the time of the
    source's first unit, with which recordings begin.
    """

    data: bytes
    encoding: Encoding
    width: int
    height: int
    time_ns: int
    key: bool
    steady: SteadyFrame | None = None
    decode_ns: int | None = None
    klv: tuple[Klv, ...] | None = None
    start_ns: int = 0


class Sink(Protocol):
    """Where shots go. Used by one thread; ``write`` and ``close`` raise MediaError, and after one it is opened anew."""

    name: str

    def write(self, shot: Shot) -> None:
        """Take one shot; the first, and the first after a failure, is a key frame."""

    def close(self) -> None:
        """Complete what was written."""
