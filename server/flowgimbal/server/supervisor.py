"""Several server processes behind the same ports, so that all cores of a machine are used.

The kernel spreads connections over the processes (SO_REUSEPORT); all streams of a connection run in one of them. A
process that ends without being told is started again; the others never notice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterator
from dataclasses import replace

from flowgimbal.server import logs, worker
from flowgimbal.server.app import serve
from flowgimbal.server.config import ServeConfig, host_and_port
from flowgimbal.server.errors import StartupError

logger = logging.getLogger(__name__)

RESTART_SECONDS = (0.5, 30.0)
"""The pause before a process is started again, at first and at most: doubled while it ends soon after its start."""
SOON_SECONDS = 60.0
CANNOT_FORK = -1


async def supervise(config: ServeConfig) -> None:
    """Serve in ``config.processes`` processes (one: this) until SIGTERM or SIGINT, then drain; a second signal forces.

    Raises StartupError if an address cannot be had or a process cannot start. Sets up the log, and takes over the two
    signals while it runs.
    """
    if config.processes == 1:
        await serve(config)
        return
    logs.configure(config.log_format, config.log_level_number)
    loop = asyncio.get_running_loop()
    with _ports(config) as held:
        crew = _Crew(held)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, crew.stop)
        try:
            await crew.run()
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)


class _Crew:
    """The processes, kept alive until they are told to stop."""

    def __init__(self, config: ServeConfig) -> None:
        self._config = config
        self._running: dict[int, Process] = {}
        self._serving: set[int] = set()
        self._stopping = asyncio.Event()
        self._failure = ""

    def stop(self) -> None:
        """Tell every process to drain; called again, to end at once."""
        self._stopping.set()
        for process in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()

    async def run(self) -> None:
        """Until all have ended after a ``stop``; raises StartupError if one could not start."""
        await asyncio.gather(*(self._keep(number) for number in range(self._config.processes)))
        if self._failure:
            raise StartupError(self._failure)
        logger.info("all processes stopped")

    async def _keep(self, number: int) -> None:
        pause, most = RESTART_SECONDS
        while not self._stopping.is_set():
            started = time.monotonic()
            try:
                code = await self._run_one(number)
            except OSError as error:  # no process can be made now; those that run go on
                logger.error("a process cannot be started: %s", error)
                code = CANNOT_FORK
            if self._stopping.is_set():
                return
            if code == worker.NO_START and len(self._serving) < self._config.processes:
                self._failure = f"process {number + 1} of {self._config.processes} cannot start; it said why above"
                self.stop()
                return
            pause = RESTART_SECONDS[0] if time.monotonic() - started > SOON_SECONDS else min(2 * pause, most)
            logger.error("a process ended", extra={"number": number + 1, "code": code, "restart_seconds": pause})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    async def _run_one(self, number: int) -> int:
        # In a session of its own: Ctrl-C at a terminal reaches the supervisor alone, which passes it on once.
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "flowgimbal.server.worker"), stdin=PIPE, stdout=PIPE, start_new_session=True
        )
        self._running[number] = process
        try:
            if self._stopping.is_set():
                process.terminate()
            await self._tell(process, number)
            if process.stdout and await process.stdout.readline():
                self._serves(number)
            return await process.wait()
        finally:
            del self._running[number]

    async def _tell(self, process: Process, number: int) -> None:
        if process.stdin:
            process.stdin.write(worker.written(_own(self._config, number)))
            with contextlib.suppress(ConnectionError):  # it has ended: its exit code says so
                await process.stdin.drain()

    def _serves(self, number: int) -> None:
        already = len(self._serving)
        self._serving.add(number)
        if already < len(self._serving) == self._config.processes:
            addresses = ",".join(self._config.listen)
            logger.info("serving", extra={"addresses": addresses, "processes": self._config.processes})


def _own(config: ServeConfig, number: int) -> ServeConfig:
    """The configuration of process ``number``: its metrics page stands ``number`` ports above the first's."""
    if not config.metrics_listen:
        return replace(config, processes=1)
    host, colon, port = config.metrics_listen.rpartition(":")
    own = int(port) and int(port) + number
    return replace(config, processes=1, metrics_listen=f"{host}{colon}{own}")


@contextlib.contextmanager
def _ports(config: ServeConfig) -> Iterator[ServeConfig]:
    """Holds the ports of ``config``, found for port 0, so that no process finds them taken. Raises StartupError."""
    with contextlib.ExitStack() as stack:
        listen = []
        for address in config.listen:
            try:
                holder = stack.enter_context(_holder(address))
            except OSError as error:
                raise StartupError(f"listen: cannot bind {address}: {error.strerror}; is the port in use?") from error
            listen.append(f"{address.rpartition(':')[0]}:{holder.getsockname()[1]}")
        yield replace(config, listen=tuple(listen))


def _holder(address: str) -> socket.socket:
    """A socket bound to ``address``, which it shares with those of this user's that listen there later."""
    host, port = host_and_port("listen", address)
    family, kind, protocol, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    if port:
        # Without the option to share, this fails where anybody listens already: another server must not be joined.
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
    holder = socket.socket(family, kind, protocol)
    try:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind(where)
    except OSError:
        holder.close()
        raise
    return holder
