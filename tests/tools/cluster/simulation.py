"""Streams find servers, lose them, and find others; as the real client and the real proxy do it.

A stream keeps to its proxy. The proxy tries a server, and others where that one refuses; then the client waits for a
growing, random time, and gives up when its patience ends. A stream that comes from elsewhere is work for the server
that takes it, which waits in line with what came before.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from cluster.placement import Placer
from cluster.scenario import BACKOFF_SECONDS, PATIENCE_SECONDS, Scenario
from cluster.servers import Server, State


@dataclass(slots=True)
class Move:
    """A stream between two servers. ``attempts`` that failed, one after the other."""

    stream: int
    lost_at: float
    last_frame: float
    attempts: int = 0


@dataclass(slots=True)
class Outcome:
    """What streams noticed."""

    gaps: list[float] = field(default_factory=list)
    """Seconds between two frames, of each stream that moved."""
    back_at: float = 0.0
    """When the last of them had a frame again."""
    refused: int = 0
    """Answers to clients that said no: the proxy had no server left to try."""
    failed: int = 0
    """Streams that nobody took in time."""
    held_up: float = 0.0
    """The longest that a server held up the streams that it had, for those that it took over."""


class Simulation:
    """All of it, at one time. ``run`` goes on to a later one."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.now = 0.0
        self._dice = random.Random(scenario.seed)
        count = scenario.machines * scenario.servers
        self.servers = [Server(scenario.limit, scenario.rate, scenario.costs) for _ in range(count)]
        self._proxies = [Placer(count, scenario.choices, self._dice) for _ in range(scenario.proxies)]
        self._where: dict[int, int] = {}
        self._proxy_of: dict[int, Placer] = {}
        self._moving: dict[int, Move] = {}
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._next = 0
        self.outcome = Outcome()

    @property
    def placed(self) -> int:
        """Streams on a server."""
        return len(self._where)

    @property
    def moving(self) -> int:
        """Streams between two."""
        return len(self._moving)

    def check(self) -> None:
        """No stream is in two places or in none, no server above its limit; AssertionError otherwise."""
        held = [stream for server in self.servers for stream in server.streams]
        assert len(held) == len(set(held)) == self.placed, "a stream is in two places"
        assert set(held) == self._where.keys(), "a stream is nowhere"
        assert not self._where.keys() & self._moving.keys(), "a stream is placed and moves"
        assert all(len(server.streams) <= server.limit for server in self.servers), "a server is above its limit"
        counted = sum(proxy.placed.total() for proxy in self._proxies)
        assert counted == self.placed, "proxies count others than there are"

    # What is done to it

    def fill(self) -> int:
        """Let all streams begin, and ``turnover`` of them end and begin anew; how many were refused at first."""
        refused = 0
        for _ in range(self.scenario.streams):
            refused += self._begin()
        for _ in range(round(self.scenario.turnover * self.scenario.streams)):
            ends = self._dice.randrange(self._next)
            if ends in self._where:
                self._leave(ends)
                del self._proxy_of[ends]
                refused += self._begin()
        self.outcome = Outcome()
        for server in self.servers:
            server.backlog = 0.0
        return refused

    def stop(self, machines: Iterable[int], state: State) -> None:
        """The servers of these machines crash, fall silent, or drain; now."""
        size = self.scenario.servers
        for machine in machines:
            for number in range(machine * size, (machine + 1) * size):
                self.servers[number].state = state
                self._tell_proxies(number)
            # A silent machine is found out about by each proxy on its own, over the one connection that it has.
            for proxy in self._proxies:
                told = self.now + self._silence(state)
                for number in range(machine * size, (machine + 1) * size):
                    mine = [s for s in sorted(self.servers[number].streams) if self._proxy_of[s] is proxy]
                    for stream in mine:
                        last = self.now - self._dice.random() / self.scenario.rate
                        self._at(told, lambda s=stream, f=last: self._lose(s, f))  # type: ignore[misc]

    def start(self, machine: int) -> None:
        """The machine is back, with empty servers; those that it had are told if they were not yet."""
        for number in range(machine * self.scenario.servers, (machine + 1) * self.scenario.servers):
            for stream in sorted(self.servers[number].streams):
                self._lose(stream, self.now)
            self.servers[number].state = State.SERVING
            self._tell_proxies(number)

    def run(self, until: float) -> None:
        """Go on to a time."""
        while self._events and self._events[0][0] <= until:
            self.now, _, act = heapq.heappop(self._events)
            act()
        self.now = until

    # How it goes on

    def _at(self, when: float, act: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._events, (when, self._count, act))

    def _silence(self, state: State) -> float:
        """Until streams hear that their server is gone."""
        if state is not State.SILENT:
            return self.scenario.trip_seconds
        return self._dice.random() * self.scenario.proxy.ping_interval + self.scenario.proxy.ping_timeout

    def _tell_proxies(self, number: int) -> None:
        """Each hears at its next health check, which a silent machine lets run into its time limit."""
        server, state = self.servers[number], self.servers[number].state
        for proxy in self._proxies:
            after = self._dice.random() * self.scenario.proxy.health_interval
            after += self.scenario.proxy.health_timeout if state is State.SILENT else 0.0

            def hear(proxy: Placer = proxy) -> None:
                if server.state is state:
                    proxy.set_health(number, state is State.SERVING)

            self._at(self.now + after, hear)

    def _begin(self) -> int:
        """A new stream; 1 if it was refused. It comes again until it has a place."""
        stream, self._next = self._next, self._next + 1
        proxy = self._proxy_of[stream] = self._dice.choice(self._proxies)
        for attempt in range(10_000):
            number, _ = self._try(proxy)
            if number is not None:
                self.servers[number].take(stream, self.now, 0.0)
                self._enter(stream, number)
                return int(attempt > 0)
        raise RuntimeError("there is no place for a new stream")

    def _try(self, proxy: Placer) -> tuple[int | None, float]:
        """A server that takes a stream, None if the proxy finds none; and the seconds that it took to find out."""
        failed: set[int] = set()
        took = 0.0
        policy = self.scenario.proxy
        for attempt in range(1 + policy.retries):
            took += self._dice.random() * min(policy.retry_seconds * (2**attempt - 1), policy.retry_most)
            number = proxy.choose(failed)
            if number is None:
                break
            state = self.servers[number].state
            took += policy.connect_timeout if state is State.SILENT else self.scenario.trip_seconds
            if state is State.SERVING and not self.servers[number].is_full:
                return number, took
            failed.add(number)
        return None, took

    def _enter(self, stream: int, number: int) -> None:
        self._where[stream] = number
        self._proxy_of[stream].placed[number] += 1

    def _leave(self, stream: int) -> None:
        number = self._where.pop(stream)
        self.servers[number].streams.remove(stream)
        self._proxy_of[stream].placed[number] -= 1

    def _lose(self, stream: int, last_frame: float) -> None:
        if stream not in self._where:
            return
        self._leave(stream)
        self._moving[stream] = Move(stream, self.now, last_frame)
        self._attempt(self._moving[stream])

    def _attempt(self, move: Move) -> None:
        number, took = self._try(self._proxy_of[move.stream])
        costs = self.scenario.costs
        if number is not None:
            del self._moving[move.stream]
            server = self.servers[number]
            wait = server.take(move.stream, self.now, costs.take_over_seconds)
            self._enter(move.stream, number)
            first = self.now + took + wait + costs.open_seconds
            self.outcome.gaps.append(first - move.last_frame)
            self.outcome.back_at = max(self.outcome.back_at, first)
            self.outcome.held_up = max(self.outcome.held_up, server.waits(self.now))
            return
        self.outcome.refused += 1
        move.attempts += 1
        heard = self.now + took
        if heard - move.lost_at >= PATIENCE_SECONDS:
            del self._moving[move.stream]
            self.outcome.failed += 1
            return
        least, most = BACKOFF_SECONDS
        # As Resuming does: the first attempt at once, then half to all of a pause that doubles.
        pause = self._dice.uniform(0.5, 1.0) * min(least * 2 ** (move.attempts - 1), most)
        self._at(heard + pause, lambda: self._attempt(move))
