"""The tables of docs/scaling.md: ten thousand streams on a hundred nodes and more, and what they notice when nodes go.

    PYTHONPATH=tests/tools python -m cluster [--streams 10000] [--seed 1]

The same seed gives the same tables. It takes about a minute.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from cluster.report import percentile, roll, small, strike
from cluster.scenario import Costs, Proxy, Scenario
from cluster.servers import State

CPU_NODE = Scenario(streams=10_000, machines=0, servers=32, limit=3, proxies=16)
"""64 cores: 32 servers of two cores, three streams each."""
CARD_NODE = Scenario(
    streams=10_000, machines=0, servers=25, limit=16, proxies=16, costs=Costs(cores=2.5, frame_seconds=0.0043)
)
"""64 cores and a card that takes networks and sampling from them: assumed, no card has run. See docs/scaling.md."""
CPU_NODES, CARD_NODES = (106, 110, 116, 126, 150), (26, 28, 30, 34)
SMALL = Costs(cores=2.0, frame_seconds=0.002, open_seconds=0.02, take_over_seconds=0.055)
"""Of the engine `identity` at 320x180, as failover.py runs it."""


def placement(scenario: Scenario) -> Iterator[str]:
    """New streams that are told to come again, and the load of nodes, by who places them."""
    yield "| nodes | free | placed by | told to come again | servers full | least, most loaded node |"
    yield "|---:|---:|---|---:|---:|---|"
    for nodes in CPU_NODES:
        base = replace(scenario, machines=nodes)
        for name, changed in (
            ("one proxy, at random", replace(base, proxies=1, choices=1)),
            ("one proxy, the better of two", replace(base, proxies=1)),
            ("16 proxies, the better of two", base),
            ("16 proxies, the better of two, 2 retries", replace(base, proxy=Proxy(retries=2))),
        ):
            result = strike(changed, 0, State.CRASHED)
            load = result.before
            yield (
                f"| {nodes} | {base.headroom:.0%} | {name} | {result.refused_at_first:.1%} | {load.full:.0%} "
                f"| {load.least:.0%}, {load.most:.0%} |"
            )


def losses(scenario: Scenario, nodes: Sequence[int], struck: Sequence[tuple[str, int, State]]) -> Iterator[str]:
    """What streams notice when nodes go, and are not replaced."""
    yield (
        "| nodes | free | what goes | streams on it | gap above 1 s, of all | gap, median and longest "
        "| told to come again | failed | all back after |"
    )
    yield "|---:|---:|---|---:|---:|---|---:|---:|---:|"
    for count in nodes:
        base = replace(scenario, machines=count)
        for name, gone, state in struck:
            result = strike(base, gone, state)
            gaps = result.outcome.gaps
            yield (
                f"| {count} | {base.headroom:.0%} | {name} | {result.lost} | {result.long_gaps:.2%} "
                f"| {percentile(gaps, 0.5):.2f} s, {max(gaps):.2f} s "
                f"| {result.outcome.refused} | {result.outcome.failed} | {result.recovery_seconds:.1f} s |"
            )


def rolling(scenario: Scenario, nodes: Sequence[int]) -> Iterator[str]:
    """Every node drained in turn and back after twelve seconds."""
    yield "| nodes | free | moves a stream | gap above 1 s, of moves | longest gap | failed | load after: least, most |"
    yield "|---:|---:|---:|---:|---:|---:|---|"
    for count in nodes:
        base = replace(scenario, machines=count)
        outcome, load = roll(base, 12.0)
        long = sum(gap > 1 for gap in outcome.gaps) / len(outcome.gaps)
        yield (
            f"| {count} | {base.headroom:.0%} | {len(outcome.gaps) / base.streams:.1f} | {long:.2%} "
            f"| {max(outcome.gaps):.2f} s | {outcome.failed} | {load.least:.0%}, {load.most:.0%} |"
        )


def predicted(seed: int) -> Iterator[str]:
    """What tests/tools/failover.py should find, over twenty seeds."""
    yield "| the first server | streams that move | longest gap | failed |"
    yield "|---|---|---|---:|"
    for name, state in (("is killed", State.CRASHED), ("falls silent", State.SILENT)):
        found = [small(state, SMALL, seed + n) for n in range(20)]
        moves, longest = [len(one.gaps) for one in found], [max(one.gaps) for one in found]
        yield (
            f"| {name} | {min(moves)} to {max(moves)} | {min(longest):.2f} to {max(longest):.2f} s "
            f"| {sum(one.failed for one in found)} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    cpu, card = (replace(one, streams=options.streams, seed=options.seed) for one in (CPU_NODE, CARD_NODE))
    one_goes = ("one crashes", 1, State.CRASHED)
    silent = ("one falls silent", 1, State.SILENT)
    tables: list[tuple[str, Callable[[], Iterator[str]]]] = [
        ("As failover.py does", lambda: predicted(options.seed)),
        ("Placement", lambda: placement(cpu)),
        (
            "Nodes of 96 streams go",
            lambda: losses(cpu, CPU_NODES, (one_goes, ("ten crash", 10, State.CRASHED), silent)),
        ),
        ("Nodes of 96 streams, drained in turn", lambda: rolling(cpu, CPU_NODES[1:])),
        (
            "Nodes of 400 streams go",
            lambda: losses(card, CARD_NODES, (one_goes, ("three crash", 3, State.CRASHED), silent)),
        ),
        ("Nodes of 400 streams, drained in turn", lambda: rolling(card, CARD_NODES[1:])),
    ]
    for title, rows in tables:
        sys.stdout.write(f"\n{title}\n\n")
        for row in rows():
            sys.stdout.write(f"{row}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
