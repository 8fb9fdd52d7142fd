"""A server of one's own, for commands that need one and were given no address."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from flowgimbal.client.cli.connection import Connection
from flowgimbal.client.endpoint import Endpoint
from flowgimbal.client.errors import ServerFault
from flowgimbal.client.settings import StreamSettings

STOP_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class ServerOptions(StreamSettings, Connection):
    """Which server a stream goes to; the settings of the stream are those of ``StreamConfig``."""

    engine: str = field(default="auto", metadata={"help": "who runs the networks, in a server of its own"})
    flow: str = field(default="network", metadata={"help": "who measures the motion, in a server of its own"})
    warp: str = field(default="dense", metadata={"help": "which warp network decides, in a server of its own"})

    def __post_init__(self) -> None:
        StreamSettings.__post_init__(self)
        Connection.__post_init__(self)

    def settings(self) -> StreamSettings:
        """The stream's settings alone."""
        names = StreamSettings.__dataclass_fields__
        return StreamSettings(**{name: getattr(self, name) for name in names})


@asynccontextmanager
async def serving(options: ServerOptions) -> AsyncIterator[Endpoint]:
    """The server to use; one of its own runs in this process, on a socket, while the block does.

    Raises ServerFault if that cannot start, ValueError for an engine, a flow or a warp that the server does not know.
    """
    if options.server:
        yield options.endpoint()
        return
    from flowgimbal.server.app import start
    from flowgimbal.server.config import ServeConfig
    from flowgimbal.server.errors import StartupError

    with tempfile.TemporaryDirectory(prefix="flowgimbal-") as folder:
        listen = (f"unix:{Path(folder) / 'socket'}",)
        try:
            config = ServeConfig(listen=listen, engine=options.engine, flow=options.flow, warp=options.warp)
            server = await start(config)
        except StartupError as error:
            raise ServerFault(f"the server of this command's own cannot start: {error}") from error
        try:
            yield Endpoint((server.address,))
        finally:
            # Streams that were given up have a frame in the engine still; a process that ends meanwhile may abort.
            await server.stop(STOP_SECONDS)
