"""What a live source gives: one picture, compressed as it came or raw, and its time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, Self

from flowgimbal.client.errors import MediaError
from flowgimbal.client.settings import Encoding


@dataclass(frozen=True, slots=True)
class Klv:
    """A packet of metadata (SMPTE 336, MISB); ``offset_ns`` is its time less that of the unit that it came before."""

    offset_ns: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Unit:
    """``time_ns``, of presentation, is on the source's clock, None where it has none; ``key``: needs no unit before it.

    ``decode_ns`` is the time of decoding where pictures are reordered; None: that of presentation. ``klv`` came before
    it; None: the source has no such stream.
    """

    data: bytes
    encoding: Encoding
    width: int
    height: int
    time_ns: int | None
    key: bool = True
    decode_ns: int | None = None
    klv: tuple[Klv, ...] | None = None


class Silent(MediaError):  # noqa: N818 - it is no fault
    """Nothing came for a while from a source that has no connection to lose; it is opened anew to be ready for more."""


class LiveSource(Protocol):
    """Where units come from; a context manager, read once, by one thread. All of it raises MediaError."""

    @property
    def ends(self) -> bool:
        """Whether its end is the end of the matter, as a file's; a camera's is a fault, and it is opened anew."""

    def __enter__(self) -> Self:
        """Open it."""

    def __exit__(self, *_: object) -> None:
        """Close it."""

    def units(self) -> Iterator[Unit]:
        """The units, in the order of decoding, at the pace at which they come or, from a file, were taken."""
