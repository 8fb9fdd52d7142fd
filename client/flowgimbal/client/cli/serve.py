"""``flowgimbal serve``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from flowgimbal.client.cli.console import complain
from flowgimbal.client.cli.web import NO_WEB, web_address
from flowgimbal.server.config import ServeConfig

if TYPE_CHECKING:
    from flowgimbal.client.web.board import Listed
    from flowgimbal.server.app import Server

_NO_START = 3

logger = logging.getLogger("flowgimbal.server")


@dataclass(frozen=True)
class Config(ServeConfig):
    """The server's settings, and the page beside it."""

    web: str = field(default="", metadata={"help": "HOST:PORT of a page to watch and tune the streams; empty: none"})

    def __post_init__(self) -> None:
        ServeConfig.__post_init__(self)
        if self.web:
            web_address(self.web)
            if self.processes > 1:
                raise ValueError("web: a page shows the streams of one process; leave processes at 1")

    def server(self) -> ServeConfig:
        """The server's settings alone."""
        return ServeConfig(**{field.name: getattr(self, field.name) for field in fields(ServeConfig)})


def run(config: Config) -> int:
    """Serve until SIGTERM or Ctrl-C, then drain; 3 if the server cannot start."""
    from flowgimbal.server.errors import StartupError
    from flowgimbal.server.supervisor import supervise

    try:
        if config.web:
            asyncio.run(_serve_with_page(config))
        else:
            asyncio.run(supervise(config.server()))
    except StartupError as error:
        complain(f"flowgimbal serve: {error}")
        return _NO_START
    return 0


async def _serve_with_page(config: Config) -> None:
    from flowgimbal.server.app import serve
    from flowgimbal.server.errors import StartupError

    try:
        from flowgimbal.client.web.board import Listed
        from flowgimbal.client.web.site import page
    except ImportError as error:
        raise StartupError(NO_WEB) from error
    from flowgimbal.client.client import Client

    @asynccontextmanager
    async def beside(server: Server) -> AsyncIterator[None]:
        async with Client(server.address) as client:

            def board() -> Iterator[Listed]:
                for stream in server.streams:
                    yield Listed(
                        client,
                        stream.info.stream_id,
                        f"stream {stream.info.stream_id[:6]}",
                        stream.info.engine,
                        *(stream.size or (0, 0)),
                        stream.counters.received,
                        stream.counters.returned,
                        stream.counters.dropped,
                    )

            async with AsyncExitStack() as stack:
                try:
                    url = await stack.enter_async_context(page(*web_address(config.web), board, server.address))
                except OSError as error:
                    why = error.strerror or error
                    raise StartupError(f"web: cannot serve the page at {config.web}: {why}") from error
                logger.info("the page is served", extra={"url": url})
                yield

    await serve(config.server(), beside=beside)
