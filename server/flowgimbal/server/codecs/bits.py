"""Bits of a parameter set of H.264 or H.265, most significant first."""

from __future__ import annotations

_LONGEST = 31  # leading zeros of an Exp-Golomb code: no field of a parameter set needs more


class OutOfBits(ValueError):  # noqa: N818 - read at the except clause
    """The data ends, or is not such a code, where one was expected."""


class Bits:
    """Reads the payload of a NAL unit (its header left out), emulation prevention bytes taken away."""

    def __init__(self, payload: bytes) -> None:
        plain = payload.replace(b"\0\0\3", b"\0\0")
        self._value = int.from_bytes(plain, "big")
        self._left = 8 * len(plain)

    def fixed(self, count: int) -> int:
        """The next ``count`` bits as a number; raises OutOfBits."""
        if count > self._left:
            raise OutOfBits
        self._left -= count
        return (self._value >> self._left) & ((1 << count) - 1)

    def flag(self) -> bool:
        """The next bit; raises OutOfBits."""
        return bool(self.fixed(1))

    def unsigned(self) -> int:
        """An Exp-Golomb code, ue(v) in the standards; raises OutOfBits."""
        zeros = 0
        while not self.fixed(1):
            zeros += 1
            if zeros > _LONGEST:
                raise OutOfBits
        return (1 << zeros) - 1 + self.fixed(zeros)

    def signed(self) -> int:
        """An Exp-Golomb code with a sign, se(v) in the standards; raises OutOfBits."""
        code = self.unsigned()
        return (code + 1) // 2 if code % 2 else -(code // 2)
