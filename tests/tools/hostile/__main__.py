"""Clients that mean harm, one kind after the other, and what a server and a client that behaves notice of each.

    python tests/tools/hostile [KIND...] [--engine cpu]

The server allows eight streams, two of them taken by clients that behave. Prints a row a kind; fails if the server
dies, logs an error or keeps memory, threads or descriptors, or if a client that behaves loses a frame.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
from attacks import ATTACKS

HERE = Path(__file__).parent
MAX_STREAMS, HEALTHY = 8, 2
SETTLE_SECONDS = 25.0
"""For the server to have let go: its time-outs, and the allocator's."""
SLACK_MIB = 64
"""Above its level before that a server may keep: its allocator's heaps."""


class Watched:
    """A server process, sampled twenty times a second."""

    def __init__(self, *flags: str) -> None:
        command = [sys.executable, "-m", "flowgimbal.server", "--listen", "127.0.0.1:0", "--log-format", "json"]
        environment = os.environ | {"GRPC_VERBOSITY": "NONE"}  # as `flowgimbal serve`
        self.process = subprocess.Popen([*command, *flags], stderr=subprocess.PIPE, text=True, env=environment)
        self.log: list[dict[str, object]] = []
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(json.loads(line))
            if self.log[-1]["message"] == "serving":
                break
        self.address = str(self.log[-1]["addresses"])
        self._ps = psutil.Process(self.process.pid)
        self.peak = 0.0

    def held(self) -> tuple[float, int, int]:
        """MiB, threads and descriptors now."""
        family = [self._ps, *self._ps.children(recursive=True)]
        memory = sum(one.memory_info().rss for one in family) / 2**20
        self.peak = max(self.peak, memory)
        return memory, sum(one.num_threads() for one in family), sum(one.num_fds() for one in family)

    async def read(self) -> None:
        """Keep what it logs."""
        assert self.process.stderr is not None
        while line := await asyncio.to_thread(self.process.stderr.readline):
            self.log.append(json.loads(line))

    async def sample(self) -> None:
        """Until cancelled."""
        while True:
            self.held()
            await asyncio.sleep(0.05)


def behaving(address: str) -> subprocess.Popen[str]:
    """A client that behaves, until its stdin ends."""
    command = [sys.executable, str(HERE / "healthy.py"), address]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


async def watch(name: str, server: Watched) -> bool:
    """Run one attack and print its row; whether all is well."""
    with ExitStack() as stack:
        healthy = []
        for _ in range(HEALTHY):
            one = behaving(server.address)
            stack.callback(one.kill)
            healthy.append(one)
            assert one.stdout is not None
            await asyncio.to_thread(one.stdout.readline)
        await asyncio.sleep(2)
        before, server.peak, logged = server.held(), 0.0, len(server.log)
        sampling = asyncio.ensure_future(server.sample())
        began = time.monotonic()
        try:
            said = await ATTACKS[name](server.address)
        finally:
            sampling.cancel()
        seconds = time.monotonic() - began
        stories = [json.loads((await asyncio.to_thread(one.communicate))[0]) for one in healthy]
    for _ in range(int(SETTLE_SECONDS)):
        gc.collect()  # gRPC's calls and channels form circles: until they are found, their connections stay open
        after = server.held()
        if after[0] < before[0] + SLACK_MIB and after[1] <= before[1] and after[2] <= before[2]:
            break
        await asyncio.sleep(1)
    faults = [line for line in server.log[logged:] if line["level"] in ("error", "critical")]
    lost = sum(one["sent"] - one["returned"] for one in stories)
    grown = after[0] > before[0] + SLACK_MIB or after[1] > before[1] or after[2] > before[2]
    fine = server.process.poll() is None and not lost and not grown and not faults
    print(  # noqa: T201
        f"{name}: {said}; {seconds:.0f} s; memory {before[0]:.0f}, at most {server.peak:.0f}, then {after[0]:.0f} MiB;"
        f" threads {before[1]}, {after[1]}; descriptors {before[2]}, {after[2]};"
        f" well-behaved: {sum(one['returned'] for one in stories)} of {sum(one['sent'] for one in stories)} frames,"
        f" p50 {max(one['p50'] for one in stories) * 1e3:.0f}, p95 {max(one['p95'] for one in stories) * 1e3:.0f},"
        f" longest {max(one['longest'] for one in stories) * 1e3:.0f} ms{'' if fine else '  NOT AS IT SHOULD BE'}",
        *faults[:3],
        flush=True,
    )
    return fine


async def main() -> bool:
    """Whether all is well."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(ATTACKS)}; all if none is given")
    parser.add_argument("--engine", default="cpu")
    options = parser.parse_args()
    server = Watched("--engine", options.engine, "--max-streams", str(MAX_STREAMS), "--idle-timeout-seconds", "10")
    reading = asyncio.ensure_future(server.read())
    try:
        return all([await watch(name, server) for name in options.kinds or ATTACKS])
    finally:
        server.process.terminate()
        await reading


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main()) else 1)
