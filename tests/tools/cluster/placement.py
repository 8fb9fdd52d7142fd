"""A proxy chooses servers as Envoy's LEAST_REQUEST does: of a few drawn, the one with the fewest of its own streams."""

from __future__ import annotations

import random
from collections import Counter

TRIES = 5
"""host_selection_retry_max_attempts: after so many draws a retry may go where one failed already."""


class Placer:
    """One proxy. What it believes of the servers' health, others tell it."""

    def __init__(self, servers: int, choices: int, dice: random.Random) -> None:
        self._choices = choices
        self._dice = dice
        self._healthy = list(range(servers))
        self._place = {server: server for server in self._healthy}
        self.placed: Counter[int] = Counter()

    @property
    def healthy(self) -> int:
        """How many servers it would choose from."""
        return len(self._healthy)

    def set_health(self, server: int, healthy: bool) -> None:
        """What the last check said."""
        if healthy and server not in self._place:
            self._place[server] = len(self._healthy)
            self._healthy.append(server)
        elif not healthy and server in self._place:
            place, last = self._place.pop(server), self._healthy.pop()
            if last != server:
                self._healthy[place], self._place[last] = last, place

    def choose(self, failed: set[int]) -> int | None:
        """A server, if possible none that ``failed``; None if none is healthy."""
        if not self._healthy:
            return None
        for _ in range(TRIES):
            drawn = [self._dice.choice(self._healthy) for _ in range(self._choices)]
            best = min(drawn, key=self.placed.__getitem__)
            if best not in failed:
                break
        return best
