"""A server in a process of its own, or in several, and what Linux says that they use."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from flowgimbal.client.client import Client
from flowgimbal.client.endpoint import Endpoint
from flowgimbal.client.errors import ServerFault, Timeout, Unavailable

START_SECONDS = 60.0
STOP_SECONDS = 15.0
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class ServerProcess:
    """A server that serves at ``address``; ``pid`` None where it is somebody else's."""

    address: str | Endpoint
    pid: int | None

    def kill(self) -> None:
        """End the server without a word."""
        if self.pid is not None:
            os.kill(self.pid, signal.SIGKILL)

    def cpu_seconds(self) -> float | None:
        """CPU time used so far, by all its threads and processes [s]."""
        return None if self.pid is None else sum(_cpu_seconds(pid) for pid in _family(self.pid))

    def peak_megabytes(self) -> float | None:
        """Most resident memory so far, of all its processes [MiB]."""
        return None if self.pid is None else sum(_peak_megabytes(pid) for pid in _family(self.pid))


def _family(pid: int) -> list[int]:
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def _cpu_seconds(pid: int) -> float:
    # The name in brackets may hold blanks: count from its end. Fields 14 and 15 are user and system ticks.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _peak_megabytes(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def own_peak_megabytes() -> float:
    """Most resident memory of this process so far [MiB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@asynccontextmanager
async def server_process(*arguments: str, processes: int = 1) -> AsyncIterator[ServerProcess]:
    """``flowgimbal serve`` with ``arguments``, drained when the block ends. ServerFault if it cannot.

    One process listens on a socket in the file system; several need a port that they can share.
    """
    with tempfile.TemporaryDirectory(prefix="flowgimbal-") as folder:
        address = f"unix:{Path(folder) / 'socket'}" if processes == 1 else f"127.0.0.1:{_free_port()}"
        arguments = ("--processes", str(processes), *arguments)
        log = Path(folder) / "log"
        command = [sys.executable, "-m", "flowgimbal.client.cli", "serve", "--listen", address, *arguments]
        with log.open("wb") as stream:
            process = await asyncio.create_subprocess_exec(*command, stdout=stream, stderr=stream)
        try:
            await _ready(address, process, log)
            yield ServerProcess(address, process.pid)
        finally:
            if process.returncode is None:
                process.terminate()
                try:
                    await asyncio.wait_for(process.wait(), STOP_SECONDS)
                except TimeoutError:
                    process.kill()
                    await process.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


async def _ready(address: str, process: asyncio.subprocess.Process, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.returncode is not None:
            raise ServerFault(f"the server ended with code {process.returncode} at its start: {_last_line(log)}")
        async with Client(address, timeout=1.0) as client:
            try:
                if await client.health():
                    return
            except (Unavailable, Timeout):
                pass
        await asyncio.sleep(0.1)
    raise ServerFault(f"the server was not ready within {START_SECONDS:g} s")


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"
