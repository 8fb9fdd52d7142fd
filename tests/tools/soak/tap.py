"""A place on the road of RTP packets where their times are noted."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

TICKS = 90_000
_TIME = slice(4, 8)
_WRAP = 1 << 32


@dataclass(frozen=True, slots=True)
class Passed:
    """A picture whose last packet went by: ``stamp`` since the first one's [1/90000 s], ``at`` [s] by this machine."""

    stamp: int
    at: float


class Tap:
    """Notes the pictures that come to a UDP port, and passes the packets on to another."""

    def __init__(self, onward: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._socket.bind(("127.0.0.1", 0))
        self._onward = "127.0.0.1", onward
        self.port = self._socket.getsockname()[1]
        self.passed: list[Passed] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        first: int | None = None
        while True:
            packet = self._socket.recv(65536)
            now = time.monotonic()
            self._socket.sendto(packet, self._onward)
            if len(packet) < 12 or not packet[1] & 0x80:  # the marker: a picture's last packet
                continue
            stamp = int.from_bytes(packet[_TIME])
            first = stamp if first is None else first
            self.passed.append(Passed((stamp - first + _WRAP // 2) % _WRAP - _WRAP // 2, now))


def free_port() -> int:
    """A UDP port, an even one as RTP wants."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1]) & ~1


def delays(before: Sequence[Passed], after: Sequence[Passed], rate: int) -> list[tuple[float, float]]:
    """(arrival after [s], delay [s]) of every picture that went by both taps, of a video of ``rate`` pictures a second.

    The stamps of both begin anywhere, and a server between may have rounded them: pictures are told apart by their
    numbers. These are matched so that the delay is the least that is above nothing: it may be whole frames too short,
    the same for all.
    """

    def number(one: Passed) -> int:
        return round(one.stamp * rate / TICKS)

    sent = {number(one): one.at for one in before}
    returned = [(number(one), one.at) for one in after]

    def shared(offset: int) -> int:
        return sum(n + offset in sent and at >= sent[n + offset] for n, at in returned[:300])

    offset = max((number(one) for one in reversed(before[:300])), key=shared)
    return [(at, at - sent[n + offset]) for n, at in returned if n + offset in sent]
