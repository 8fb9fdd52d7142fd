"""What is simulated: how many servers, what they cost, who places streams, what goes wrong. Times in seconds."""

from __future__ import annotations

from dataclasses import dataclass, field

from flowgimbal.client.resuming import BACKOFF_SECONDS, PATIENCE_SECONDS

__all__ = ["BACKOFF_SECONDS", "PATIENCE_SECONDS", "Costs", "Proxy", "Scenario"]


@dataclass(frozen=True, slots=True)
class Costs:
    """Of a server process, as measured: see docs/scaling.md."""

    cores: float = 2.0
    frame_seconds: float = 0.0175
    """CPU time of a frame: JPEG, 1280x720, eight streams on two cores."""
    open_seconds: float = 0.09
    """From the call to the first new frame of a stream that comes from elsewhere, with nothing else to do."""
    take_over_seconds: float = 0.2
    """CPU time of that, with the frames that are sent again."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """What docker/envoy/envoy.yaml says; a test holds it against the file."""

    retries: int = 8
    retry_seconds: float = 0.01
    retry_most: float = 0.1
    """Before a retry it waits a random part of the former, then of three, seven, ... times it, the latter at most."""
    connect_timeout: float = 1.0
    health_interval: float = 0.5
    health_timeout: float = 1.0
    ping_interval: float = 6.0
    ping_timeout: float = 4.0
    """A server that answers no HTTP/2 ping for so long is gone, and its streams are told."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """``machines`` of ``servers`` processes each; a process takes ``limit`` streams and is an endpoint of its own."""

    streams: int
    machines: int
    servers: int
    limit: int
    rate: float = 30.0
    """Frames a second of a stream."""
    proxies: int = 4
    """Each counts the streams that it placed itself, and knows nothing of the others'."""
    choices: int = 2
    """How many servers are drawn, of which the one with the fewest streams is taken; 1: at random."""
    turnover: float = 1.0
    """Streams that end and begin anew before anything goes wrong, as a share of all."""
    costs: Costs = field(default_factory=Costs)
    proxy: Proxy = field(default_factory=Proxy)
    trip_seconds: float = 0.001
    seed: int = 1

    @property
    def headroom(self) -> float:
        """Share of the places that are free."""
        return 1 - self.streams / (self.machines * self.servers * self.limit)
