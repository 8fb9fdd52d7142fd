"""Server processes: their places, and the work that waits in them. Pure; knows no clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from cluster.scenario import Costs


class State(Enum):
    """What a server does with a stream that comes."""

    SERVING = "takes it"
    DRAINING = "refuses it"
    CRASHED = "its machine refuses the connection"
    SILENT = "nobody answers"


@dataclass(slots=True)
class Server:
    """``backlog`` is CPU time of streams taken over that is still to be spent, as of ``at``."""

    limit: int
    rate: float
    costs: Costs
    state: State = State.SERVING
    streams: set[int] = field(default_factory=set)
    backlog: float = 0.0
    at: float = 0.0

    @property
    def is_full(self) -> bool:
        """Whether it would refuse a stream: RESOURCE_EXHAUSTED."""
        return len(self.streams) >= self.limit

    def take(self, stream: int, now: float, work: float) -> float:
        """A stream comes, with ``work`` [CPU s] to do before it runs; the seconds that wait before it in line."""
        if self.is_full or self.state is not State.SERVING:
            raise ValueError("a server that takes no stream was given one")
        wait = self.waits(now)
        self.streams.add(stream)
        self.backlog += work
        return wait

    def waits(self, now: float) -> float:
        """How long a frame waits that comes now: frames are worked off in the order in which they came."""
        spare = self.costs.cores - len(self.streams) * self.rate * self.costs.frame_seconds
        # Where nothing is left over, live streams lose frames, and the backlog has a tenth of the cores all the same.
        spare = max(spare, self.costs.cores / 10)
        self.backlog = max(0.0, self.backlog - (now - self.at) * spare)
        self.at = now
        return self.backlog / self.costs.cores
