"""The simulated cluster keeps what a cluster keeps, and says what the real one of tests/tools/failover.py did."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from cluster.__main__ import SMALL
from cluster.placement import TRIES, Placer
from cluster.report import load, roll, small, strike
from cluster.scenario import PATIENCE_SECONDS, Costs, Proxy, Scenario
from cluster.servers import Server, State
from cluster.simulation import Simulation
from failover import LONGEST, LONGEST_SILENT

ENVOY = Path(__file__).parents[3] / "docker" / "envoy" / "envoy.yaml"
FEW = Scenario(streams=300, machines=20, servers=4, limit=5, seed=7)


def seconds(text: str) -> float:
    return float(text.removesuffix("s"))


@pytest.mark.parametrize("seed", range(5))
def test_streams_are_conserved_and_no_server_is_above_its_limit(seed: int) -> None:
    simulation, dice = Simulation(replace(FEW, seed=seed)), random.Random(seed)
    simulation.fill()
    stopped: list[int] = []
    for step in range(60):
        if stopped and dice.random() < 0.5:
            simulation.start(stopped.pop(0))
        elif len(stopped) < 8:
            machine = dice.choice([n for n in range(FEW.machines) if n not in stopped])
            simulation.stop([machine], dice.choice([State.CRASHED, State.SILENT, State.DRAINING]))
            stopped.append(machine)
        for part in range(4):
            simulation.run(step * 2 + part / 2)
            simulation.check()
            assert simulation.placed + simulation.moving + simulation.outcome.failed == FEW.streams
    simulation.run(1000)
    assert simulation.moving == 0
    assert simulation.outcome.gaps


def test_the_same_seed_gives_the_same() -> None:
    first, second = (strike(FEW, 3, State.CRASHED) for _ in range(2))
    assert first == second
    assert strike(replace(FEW, seed=8), 3, State.CRASHED).outcome != first.outcome


@pytest.mark.parametrize("seed", range(3))
def test_the_better_of_two_is_better_than_any(seed: int) -> None:
    one = replace(FEW, streams=4000, machines=100, servers=1, limit=60, proxies=1, turnover=2.0, seed=seed)
    spread = {}
    for choices in (1, 2):
        simulation = Simulation(replace(one, choices=choices))
        simulation.fill()
        found = load(simulation)
        spread[choices] = found.most - found.least
    assert spread[2] < spread[1] / 2


def test_many_proxies_place_worse_than_one() -> None:
    crowded = replace(FEW, streams=1800, machines=100, servers=8, limit=3)
    one, many = (strike(replace(crowded, proxies=n), 0, State.CRASHED).refused_at_first for n in (1, 32))
    assert one < many


def test_with_room_every_stream_is_back() -> None:
    result = strike(FEW, 2, State.CRASHED)
    assert result.outcome.failed == 0
    assert len(result.outcome.gaps) == result.lost
    assert result.long_gaps == 0
    assert result.recovery_seconds < 1


def test_without_room_the_rest_fail_when_their_patience_ends() -> None:
    full = replace(FEW, streams=400, turnover=0)
    simulation = Simulation(full)
    simulation.fill()
    simulation.stop([0], State.CRASHED)
    simulation.run(PATIENCE_SECONDS - 1)
    assert (simulation.moving, simulation.outcome.failed) == (20, 0)
    simulation.run(PATIENCE_SECONDS + 2)
    assert (simulation.moving, simulation.outcome.failed) == (0, 20)
    # Pauses that grow to a second: some forty attempts a stream, and no storm of them.
    assert simulation.outcome.refused / 20 < 60


def test_silence_is_heard_of_by_pings() -> None:
    gaps = strike(FEW, 1, State.SILENT).outcome.gaps
    assert FEW.proxy.ping_timeout < min(gaps)
    assert max(gaps) < FEW.proxy.ping_timeout + FEW.proxy.ping_interval + 1.5


def test_draining_all_in_turn_leaves_every_stream_somewhere() -> None:
    outcome, after = roll(FEW, 12.0)
    assert outcome.failed == 0
    assert after.mean == pytest.approx(FEW.streams / 400)


@pytest.mark.parametrize(
    ("state", "moves", "longest"),
    # Of runs of tests/tools/failover.py on two shared cores: docs/scaling.md.
    [(State.CRASHED, (9, 11), LONGEST), (State.SILENT, (7, 7), LONGEST_SILENT)],
    ids=["killed", "silent"],
)
def test_it_says_what_the_real_one_did(state: State, moves: tuple[int, int], longest: float) -> None:
    found = [small(state, SMALL, seed) for seed in range(20)]
    assert {one.failed for one in found} == {0}
    counts = [len(one.gaps) for one in found]
    assert min(counts) <= moves[0]
    assert max(counts) >= moves[1]
    assert max(max(one.gaps) for one in found) < longest


def test_a_full_server_takes_none() -> None:
    server = Server(limit=1, rate=30, costs=Costs())
    server.take(1, 0.0, 0.2)
    assert server.is_full
    with pytest.raises(ValueError, match="takes no stream"):
        server.take(2, 0.0, 0.2)


def test_work_waits_in_line_and_is_done() -> None:
    costs = Costs(cores=2.0, frame_seconds=0.01)
    server = Server(limit=4, rate=50, costs=costs)  # a stream keeps half a core busy
    assert [server.take(n, 0.0, 0.2) for n in range(3)] == pytest.approx([0, 0.1, 0.2])
    assert server.waits(0.4) == pytest.approx((0.6 - 0.4 * 0.5) / 2)
    assert server.waits(10.0) == 0


def test_a_proxy_chooses_among_the_healthy_and_not_again_what_failed() -> None:
    placer = Placer(4, 2, random.Random(1))
    for server in (0, 1):
        placer.set_health(server, False)
        placer.set_health(server, False)
    assert {placer.choose(set()) for _ in range(50)} == {2, 3}
    again = sum(placer.choose({2}) == 2 for _ in range(1000))
    assert again < 1000 * 0.75**TRIES * 1.5
    placer.set_health(0, True)
    assert {placer.choose(set()) for _ in range(50)} == {0, 2, 3}
    for server in (0, 2, 3):
        placer.set_health(server, False)
    assert placer.choose(set()) is None


def test_the_last_free_place_is_found_as_often_as_by_the_real_proxy() -> None:
    # cluster.measure: of 400 new streams none was refused while one of nine places was free.
    placer = Placer(3, 2, random.Random(1))
    placer.placed.update({0: 3, 1: 3, 2: 2})
    refused = 0
    for _ in range(10_000):
        failed: set[int] = set()
        for _ in range(1 + Proxy().retries):
            server = placer.choose(failed)
            assert server is not None
            failed.add(server)
        refused += 2 not in failed
    assert refused / 10_000 < 0.01


def test_the_proxy_is_the_one_of_the_configuration() -> None:
    config = yaml.safe_load(ENVOY.read_text())["static_resources"]
    (cluster,) = config["clusters"]
    (check,) = cluster["health_checks"]
    (options,) = cluster["typed_extension_protocol_options"].values()
    ping = options["explicit_http_config"]["http2_protocol_options"]["connection_keepalive"]
    hcm = config["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    policy = hcm["route_config"]["virtual_hosts"][0]["routes"][0]["route"]["retry_policy"]
    assert cluster["lb_policy"] == "LEAST_REQUEST"  # of two, by default
    assert policy["host_selection_retry_max_attempts"] == TRIES
    assert check["unhealthy_threshold"] == check["healthy_threshold"] == 1
    assert not cluster["close_connections_on_host_health_failure"]
    assert Proxy() == Proxy(
        retries=policy["num_retries"],
        retry_seconds=seconds(policy["retry_back_off"]["base_interval"]),
        retry_most=seconds(policy["retry_back_off"]["max_interval"]),
        connect_timeout=seconds(cluster["connect_timeout"]),
        health_interval=seconds(check["interval"]),
        health_timeout=seconds(check["timeout"]),
        ping_interval=seconds(ping["interval"]),
        ping_timeout=seconds(ping["timeout"]),
    )
