"""Figures of a simulation, and rows of tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cluster.scenario import Costs, Scenario
from cluster.servers import State
from cluster.simulation import Outcome, Simulation

SETTLED_SECONDS = 60.0
"""Longer than any client's patience."""


@dataclass(frozen=True, slots=True)
class Load:
    """Of the servers that serve, in shares of their limit; ``full``: the share of them that takes no more."""

    mean: float
    least: float
    most: float
    full: float


@dataclass(frozen=True, slots=True)
class Result:
    """``refused_at_first``: the share of new streams that were told to come again, before anything went wrong."""

    scenario: Scenario
    refused_at_first: float
    before: Load
    after: Load
    lost: int
    outcome: Outcome
    recovery_seconds: float

    @property
    def long_gaps(self) -> float:
        """The share of all streams that had no frame for more than a second; those that failed are among them."""
        long = sum(gap > 1 for gap in self.outcome.gaps) + self.outcome.failed
        return long / self.scenario.streams


def load(simulation: Simulation) -> Load:
    """By machine: what a node carries."""
    size = simulation.scenario.servers
    serving = [s for s in simulation.servers if s.state is State.SERVING]
    nodes = [simulation.servers[n : n + size] for n in range(0, len(simulation.servers), size)]
    shares = [
        sum(len(s.streams) for s in node) / (size * node[0].limit) for node in nodes if node[0].state is State.SERVING
    ]
    full = sum(server.is_full for server in serving) / len(serving)
    return Load(sum(shares) / len(shares), min(shares), max(shares), full)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share lies; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def strike(scenario: Scenario, machines: int, state: State) -> Result:
    """Fill, stop so many machines at once, and wait until every stream is back or has failed."""
    simulation = Simulation(scenario)
    refused = simulation.fill()
    simulation.check()
    simulation.run(10.0)
    before = load(simulation)
    struck = range(machines)
    lost = sum(len(s.streams) for s in simulation.servers[: machines * scenario.servers])
    simulation.stop(struck, state)
    simulation.run(10.0 + SETTLED_SECONDS)
    simulation.check()
    assert simulation.placed + simulation.outcome.failed == scenario.streams, "a stream is lost"
    began = round(scenario.streams * (1 + scenario.turnover))
    recovery = max(0.0, simulation.outcome.back_at - 10.0)
    return Result(scenario, refused / began, before, load(simulation), lost, simulation.outcome, recovery)


def roll(scenario: Scenario, seconds_each: float) -> tuple[Outcome, Load]:
    """Drain every machine in turn, start it again after ``seconds_each``: what streams noticed, the load after."""
    simulation = Simulation(scenario)
    simulation.fill()
    for machine in range(scenario.machines):
        simulation.stop([machine], State.DRAINING)
        simulation.run(simulation.now + seconds_each)
        simulation.start(machine)
        simulation.run(simulation.now + 2.0)
        simulation.check()
    simulation.run(simulation.now + SETTLED_SECONDS)
    return simulation.outcome, load(simulation)


def small(state: State, costs: Costs, seed: int = 1) -> Outcome:
    """What tests/tools/failover.py does: twelve streams, three servers, one stopped at 5 s, one drained at 9 s."""
    scenario = Scenario(
        streams=12, machines=3, servers=1, limit=16, rate=15, proxies=1, turnover=0, costs=costs, seed=seed
    )
    simulation = Simulation(scenario)
    simulation.fill()
    simulation.run(5.0)
    simulation.stop([0], state)
    simulation.run(9.0)
    simulation.stop([1], State.DRAINING)
    simulation.run(9.0 + SETTLED_SECONDS)
    simulation.check()
    return simulation.outcome
