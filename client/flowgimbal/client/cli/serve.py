"""``flowgimbal serve``."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from flowgimbal.client.cli.web import NO_WEB, Page
from flowgimbal.server.config import ServeConfig

if TYPE_CHECKING:
    from flowgimbal.client.web.board import Listed
    from flowgimbal.server.app import Server

_NO_START = 3

logger = logging.getLogger("flowgimbal.server")


@dataclass(frozen=True)
class Config(ServeConfig, Page):
    """The server's settings, and the page beside it."""

    def __post_init__(self) -> None:
        ServeConfig.__post_init__(self)
        Page.__post_init__(self)
        if self.web and self.processes > 1:
            raise ValueError("web: a page shows the streams of one process; leave processes at 1")

    def server(self) -> ServeConfig:
        """The server's settings alone."""
        return ServeConfig(**{field.name: getattr(self, field.name) for field in fields(ServeConfig)})


def run(config: Config) -> int:
    """Serve until SIGTERM or Ctrl-C, then drain; 3 if the server cannot start."""
    from flowgimbal.server import logs
    from flowgimbal.server.errors import StartupError
    from flowgimbal.server.supervisor import supervise

    try:
        if config.web:
            asyncio.run(_serve_with_page(config))
        else:
            asyncio.run(supervise(config.server()))
    except StartupError as error:
        logs.last_words(config.log_format, f"flowgimbal serve: {error}")
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
    from flowgimbal.client.endpoint import Endpoint

    try:
        door = config.door()
    except ValueError as error:
        raise StartupError(str(error)) from error

    @asynccontextmanager
    async def beside(server: Server) -> AsyncIterator[None]:
        own = Endpoint((inner,), token=server.access.issue("the page"))
        async with Client(own) as client:

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
                    url = await stack.enter_async_context(page(door, board, own))
                except OSError as error:
                    why = error.strerror or error
                    raise StartupError(f"web: cannot serve the page at {config.web}: {why}") from error
                logger.info("the page is served", extra={"url": url})
                yield

    # The page reaches the server by a socket of their own, whatever certificates others need.
    with tempfile.TemporaryDirectory(prefix="flowgimbal-") as folder:
        inner = f"unix:{Path(folder) / 'page'}"
        await serve(config.server(), inner=inner, beside=beside)
