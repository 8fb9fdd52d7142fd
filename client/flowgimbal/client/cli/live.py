"""``flowgimbal live --source URL --sink URL``."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from flowgimbal.client.cli import interrupt
from flowgimbal.client.cli.options import UsageError, usage_errors
from flowgimbal.client.cli.own_server import ServerOptions, serving
from flowgimbal.client.cli.web import NO_WEB, Page
from flowgimbal.client.endpoint import Endpoint
from flowgimbal.client.settings import Encoding, StreamSettings

if TYPE_CHECKING:
    from flowgimbal.client.live import Relay


@dataclass(frozen=True, kw_only=True)
class Config(ServerOptions, Page):
    """Where pictures come from and where they go."""

    source: str = field(
        default="",
        metadata={
            "help": "rtsp://..., rtp://HOST:PORT, udp://HOST:PORT, srt://HOST:PORT, /dev/video0, a file,"
            " a folder of pictures, - (stdin), raw:-?size=WxH&rate=30&format=nv12 (bare pictures),"
            " or test: (a test picture)"
        },
    )
    sink: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "rtp://HOST:PORT, udp://HOST:PORT, srt://HOST:PORT, rtsp://..., a file (.mp4 .mkv .ts),"
            " - (stdout, MPEG-TS), y4m:- or raw:- (pictures), v4l2:/dev/videoN (a virtual camera),"
            " or FILE.jsonl (transforms); as many as wanted"
        },
    )
    record_raw: str = field(default="", metadata={"help": "file for the pictures as they came", "default": "none"})
    rtsp_transport: str = field(default="tcp", metadata={"help": "how RTSP is carried", "choices": ("tcp", "udp")})
    frame_rate: float = field(default=30.0, metadata={"help": "of a folder of pictures [Hz]"})

    def __post_init__(self) -> None:
        ServerOptions.__post_init__(self)
        Page.__post_init__(self)
        if not self.source:
            raise ValueError("source: where do the pictures come from? e.g. --source rtsp://camera/stream, or test:")
        if not self.sink and not self.record_raw and not self.web:
            raise ValueError("sink: where do the pictures go? e.g. --sink udp://127.0.0.1:5600, or steady.mp4")
        from flowgimbal.client.sinks import choose
        from flowgimbal.client.sources import opening

        source = Path(opening.target_of(self.source))
        targets = [choose.target_of(url) for url in (*self.sink, self.record_raw) if url and "://" not in url]
        places = [Path(target).resolve() for target in targets]
        for target, place in zip(targets, places, strict=True):
            if places.count(place) > 1:
                raise ValueError(f"sink: {target} is given twice")
            if place.is_file() and source.is_file() and place.samefile(source):
                raise ValueError(f"sink: {target} is the source; give it another name")
        if not 0 < self.frame_rate <= 1000:
            raise ValueError(f"frame_rate: {self.frame_rate} is not within (0, 1000]")

    def settings(self) -> StreamSettings:
        """The stream's settings alone; sinks take H.264 unless another compressed encoding is asked for."""
        settings = super().settings()
        return replace(settings, output_encoding=settings.output_encoding or Encoding.H264)


def run(config: Config) -> int:
    """Forward until the source ends, SIGTERM or Ctrl-C; then complete the sinks."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    logger = logging.getLogger("flowgimbal.client")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        with usage_errors():
            interrupt.run(_live(config))
    finally:
        logger.removeHandler(handler)
    return 0


async def _live(config: Config) -> None:
    from flowgimbal.client.live import Relay
    from flowgimbal.client.sinks.choose import live_sink
    from flowgimbal.client.sinks.mux import MuxSink
    from flowgimbal.client.sources.choose import live_source

    if config.web:
        try:
            from flowgimbal.client.web import site  # noqa: F401 - is it there?
        except ImportError:
            raise UsageError(NO_WEB) from None

    sinks = [live_sink(url) for url in config.sink]
    raw = [MuxSink(config.record_raw)] if config.record_raw else []
    async with serving(config) as server:
        relay = Relay(
            lambda: live_source(config.source, rtsp_transport=config.rtsp_transport, frame_rate=config.frame_rate),
            sinks,
            server,
            config.settings(),
            raw_sinks=raw,
        )
        async with _page(config, relay, server):
            running = asyncio.ensure_future(relay.run())
            asked: list[int] = []

            def on_signal() -> None:
                relay.stop()
                asked.append(1)
                if len(asked) > 1:  # the server does not answer, or takes too long
                    running.cancel()

            with interrupt.signals(on_signal, times=2):
                await running
    logging.getLogger("flowgimbal.client.live").info(
        "ended: %d frames returned, %d dropped, %d not sent", relay.returned, relay.dropped, relay.unsent
    )


@asynccontextmanager
async def _page(config: Config, relay: Relay, server: Endpoint) -> AsyncIterator[None]:
    """The page that shows the relay's stream, if one is wanted."""
    if not config.web:
        yield
        return
    from flowgimbal.client.redact import shown
    from flowgimbal.client.web.board import Listed
    from flowgimbal.client.web.site import page

    def board() -> Iterator[Listed]:
        if relay.open is not None:
            client, stream = relay.open
            info, (width, height) = stream.info, relay.size
            yield Listed(
                client,
                info.stream_id,
                shown(config.source),
                info.engine,
                width,
                height,
                stream.sent,
                stream.received,
                stream.dropped,
                stream.address,
            )

    async with AsyncExitStack() as stack:
        try:
            url = await stack.enter_async_context(page(config.door(), board, server))
        except OSError as error:
            raise UsageError(f"web: cannot serve the page at {config.web}: {error.strerror or error}") from error
        logging.getLogger("flowgimbal.client.live").info("the page: %s", url)
        yield
