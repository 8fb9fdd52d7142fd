"""Fuzzes a real server over a real socket: ``python -m fuzz.over_socket [--messages N] [--rate N] [--seed N]``.

Beside the fuzzers a client that behaves streams at a fixed rate. Fails if the server dies, hangs, answers INTERNAL or
UNKNOWN, logs an error, keeps memory, threads or descriptors, or if the client that behaves misses a frame.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from pathlib import Path

import healthy

from fuzz import garbage
from fuzz.calls import Caller, Pace, Tally
from fuzz.messages import MESSAGE_BYTES
from fuzz.watched import Held, Watched

CALLERS = 6
MAX_STREAMS = 12
SETTLE_SECONDS = 40
"""For the server to have let go: its time-outs, and the allocator's."""
SLACK_MIB = 64
"""Above its level before that a server may keep: its allocator's heaps."""
REPORT_SECONDS = 15
LEAST_RATE = 0.95
"""Of its frame rate that the client that behaves must see."""
FLAGS = {
    "engine": "identity",
    "max-streams": MAX_STREAMS,
    "max-frame-pixels": 1 << 16,
    "max-message-bytes": MESSAGE_BYTES,
    "idle-timeout-seconds": 5,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of a run. ``beside`` is what the client that behaves noticed, see `healthy`; ``rate`` its frames a second."""

    tally: Tally
    before: Held
    after: Held
    beside: dict[str, float]
    rate: float
    faults: tuple[str, ...]


async def run(messages: int, seed: int, rate: float = 1000) -> Outcome:
    """Send ``messages``, ``rate`` a second at most, and see what became of the server."""
    server = Watched(*(part for name, value in FLAGS.items() for part in (f"--{name}", str(value))))
    with _behave(server.address) as beside:
        try:
            await asyncio.to_thread(_line, beside)
            began = time.monotonic()
            await asyncio.sleep(2)
            before = server.held()
            tally, pace = Tally(), Pace(rate)
            callers = [Caller(server.address, f"{seed}-{number}", tally, pace) for number in range(CALLERS)]
            await _fuzz(server, tally, [caller.run(messages) for caller in callers], f"{seed}-raw")
            gc.collect()  # calls that are done with hold connections
            seconds = time.monotonic() - began
            if not server.alive:
                raise RuntimeError(f"the server died with {server.process.returncode}: {server.faults}")
            story = json.loads((await asyncio.to_thread(beside.communicate))[0])
            after = await _settled(server, before)
        finally:
            beside.kill()
            code = server.stop()
    faults = [*tally.faults, *server.faults]
    if code:
        faults.append(f"the server ended with {code}")
    faults += [f"{count} streams ended {name}" for name, count in server.ended.items() if name.startswith("INTERNAL")]
    if not _let_go(before, after):
        faults.append(f"the server kept {after}, and had {before} before")
    if story["returned"] != story["sent"]:
        faults.append("the client that behaves misses frames")
    tally.told.update({f"stream ended {name}": count for name, count in server.ended.items()})
    return Outcome(tally, before, after, story, story["returned"] / seconds, tuple(faults))


async def _fuzz(server: Watched, tally: Tally, calling: Sequence[Awaitable[None]], seed: str) -> None:
    beside = [
        asyncio.ensure_future(garbage.run(server.address, seed, tally.told)),
        asyncio.ensure_future(_report(server, tally)),
    ]
    try:
        await _while_alive(server, asyncio.gather(*calling))
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)


async def _while_alive(server: Watched, work: Awaitable[object]) -> None:
    working = asyncio.ensure_future(work)
    while not working.done():
        await asyncio.wait({working}, timeout=1)
        if not server.alive:
            working.cancel()
    if server.alive:
        working.result()


async def _report(server: Watched, tally: Tally) -> None:
    began = time.monotonic()
    while True:
        await asyncio.sleep(REPORT_SECONDS)
        seconds = time.monotonic() - began
        faults = [*tally.faults, *server.faults]
        print(  # noqa: T201
            f"{seconds:.0f} s: {tally.messages} messages, {tally.frames} frames came back, {sum(tally.told.values())}"
            f" calls; {server.held()}; {len(faults)} faults",
            *faults[:3],
            flush=True,
        )


async def _settled(server: Watched, before: Held) -> Held:
    after = server.held()
    for _ in range(SETTLE_SECONDS):
        if _let_go(before, after) or not server.alive:
            break
        await asyncio.sleep(1)
        after = server.held()
    return after


def _let_go(before: Held, after: Held) -> bool:
    grown = after.memory > before.memory + SLACK_MIB
    return not grown and after.threads <= before.threads and after.descriptors <= before.descriptors


def _behave(address: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(Path(healthy.__file__)), address]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def main() -> int:
    """Run it, and say what came of it; the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, default=1000, help="messages a second at most")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    outcome = asyncio.run(run(options.messages, options.seed, options.rate))
    beside = outcome.beside
    for what, count in outcome.tally.told.most_common():
        print(f"  {count:8} {what}")  # noqa: T201
    print(  # noqa: T201
        f"{outcome.tally.messages} messages, {outcome.tally.frames} frames came back; before: {outcome.before};"
        f" after: {outcome.after}; beside: {beside['returned']} of {beside['sent']} frames,"
        f" {outcome.rate:.2f} a second,"
        f" p50 {beside['p50'] * 1e3:.0f}, p95 {beside['p95'] * 1e3:.0f}, longest {beside['longest'] * 1e3:.0f} ms",
        *outcome.faults[:20],
        sep="\n",
    )
    return 1 if outcome.faults or outcome.rate < LEAST_RATE * healthy.RATE else 0


if __name__ == "__main__":
    sys.exit(main())
