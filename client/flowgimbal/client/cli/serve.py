"""``flowgimbal serve``."""

from __future__ import annotations

import asyncio

from flowgimbal.client.cli.console import complain
from flowgimbal.server.config import ServeConfig

Config = ServeConfig

_NO_START = 3


def run(config: ServeConfig) -> int:
    """Serve until SIGTERM or Ctrl-C, then drain; 3 if the server cannot start."""
    from flowgimbal.server.errors import StartupError
    from flowgimbal.server.supervisor import supervise

    try:
        asyncio.run(supervise(config))
    except StartupError as error:
        complain(f"flowgimbal serve: {error}")
        return _NO_START
    return 0
