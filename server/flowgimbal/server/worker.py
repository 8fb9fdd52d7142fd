"""One of several servers behind one port: ``python -m flowgimbal.server.worker``, run by the supervisor.

Its configuration comes as a line of JSON on stdin, whose end means that the supervisor is gone. It says on stdout, by
an empty line, that it serves.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from flowgimbal.server import logs
from flowgimbal.server.app import Server, serve
from flowgimbal.server.config import ServeConfig
from flowgimbal.server.errors import StartupError

NO_START = 3
"""The exit code of a server that cannot start."""


def written(config: ServeConfig) -> bytes:
    """The line that ``read`` takes."""
    return json.dumps(dataclasses.asdict(config)).encode() + b"\n"


def read(line: bytes) -> ServeConfig:
    """The configuration that ``written`` wrote."""
    values: dict[str, Any] = json.loads(line)
    for name, value in values.items():
        values[name] = tuple(value) if isinstance(value, list) else value
    return ServeConfig(**values)


def main() -> int:
    """Serve until a signal, or until the supervisor is gone; the exit code."""
    config = read(sys.stdin.buffer.readline())
    try:
        asyncio.run(_work(config))
    except StartupError as error:
        logs.last_words(config.log_format, f"flowgimbal: {error}")
        return NO_START
    return 0


async def _work(config: ServeConfig) -> None:
    loop, stdin = asyncio.get_running_loop(), sys.stdin.fileno()

    def orphaned() -> None:
        loop.remove_reader(stdin)
        os.kill(os.getpid(), signal.SIGTERM)

    @asynccontextmanager
    async def told(_: Server) -> AsyncIterator[None]:
        sys.stdout.write("\n")
        sys.stdout.flush()
        yield

    loop.add_reader(stdin, orphaned)
    await serve(config, shared=True, beside=told)


if __name__ == "__main__":
    sys.exit(main())
