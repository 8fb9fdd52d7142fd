"""``flowgimbal health``."""

from __future__ import annotations

from dataclasses import dataclass, field

from flowgimbal.client.cli import interrupt
from flowgimbal.client.cli.connection import Connection
from flowgimbal.client.cli.console import say
from flowgimbal.client.cli.options import usage_errors
from flowgimbal.client.client import Client
from flowgimbal.client.endpoint import DEFAULT_ADDRESS


@dataclass(frozen=True, kw_only=True)
class Config(Connection):
    """Whom to ask, and for how long."""

    server: str = field(default=DEFAULT_ADDRESS, metadata={"help": "address of the server: HOST:PORT or unix:PATH"})
    timeout: float = field(default=5.0, metadata={"help": "how long to wait for an answer [s]"})


def run(config: Config) -> int:
    """Print SERVING or NOT_SERVING; 0 if the server takes streams."""
    with usage_errors():
        serving = interrupt.run(_ask(config))
    say("SERVING" if serving else "NOT_SERVING")
    return 0 if serving else 1


async def _ask(config: Config) -> bool:
    async with Client(config.endpoint(), timeout=config.timeout) as client:
        return await client.health()
