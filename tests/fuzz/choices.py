"""Decisions read from bytes, so that a fuzzer that changes bytes changes decisions."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

_REALS = (0.0, -0.0, 0.5, 1.0, -1.0, 1e-45, 1e38, -1e38, float("inf"), -float("inf"), float("nan"))
_EDGES = (0, 1, 2**7, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1)


class Choices:
    """Reads ``data`` from its beginning; where it has ended, every byte is 0."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._place = 0

    def __bool__(self) -> bool:
        """Whether bytes are left."""
        return self._place < len(self._data)

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes, fewer at the end."""
        taken = self._data[self._place : self._place + count]
        self._place += len(taken)
        return taken

    def number(self, size: int) -> int:
        """An unsigned number of ``size`` bytes, little-endian."""
        return int.from_bytes(self.take(size), "little")

    def one_of(self, options: Sequence[T]) -> T:
        """One of up to 256 options, by one byte."""
        return options[self.number(1) % len(options)]

    def chance(self, out_of: int) -> bool:
        """True for one byte in ``out_of``, and not for 0."""
        return self.number(1) % out_of == 1

    def integer(self, bits: int, *, signed: bool = False) -> int:
        """A number that a field of ``bits`` holds: small, at an edge, or any."""
        kind = self.number(1) % 4
        value = self.number(1) if kind < 2 else self.one_of(_EDGES) if kind == 2 else self.number(bits // 8)
        value %= 1 << bits
        return value - (1 << bits) if signed and value >> (bits - 1) else value

    def real(self) -> float:
        """A number that a float32 holds: special, within 0 and 1, or any, NaN and the infinite ones too."""
        kind = self.number(1) % 3
        if kind == 0:
            return self.one_of(_REALS)
        if kind == 1:
            return self.number(1) / 255
        return float(struct.unpack("<f", self.take(4).ljust(4, b"\0"))[0])
