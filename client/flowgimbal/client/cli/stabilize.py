"""``flowgimbal stabilize IN OUT``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from flowgimbal.client.cli import interrupt
from flowgimbal.client.cli.console import Progress, complain
from flowgimbal.client.cli.options import UsageError, usage_errors
from flowgimbal.client.cli.own_server import ServerOptions, serving
from flowgimbal.client.settings import Encoding, Mode


@dataclass(frozen=True, kw_only=True)
class Config(ServerOptions):
    """What to steady, where to put it, and how."""

    source: str = field(metadata={"help": "the shaky video: any file that FFmpeg reads", "positional": "IN"})
    output: str = field(metadata={"help": "the steady video; its suffix names the container", "positional": "OUT"})
    mode: Mode | None = field(
        default=Mode.LOSSLESS, metadata={"help": "lossless: every frame comes back; live: late frames are lost"}
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.output_encoding in (Encoding.H264, Encoding.HEVC):
            raise ValueError(f"output_encoding: {self.output_encoding} is for live; OUT is encoded here: leave it out")


def run(config: Config) -> int:
    """Steady the file through the service."""
    if Path(config.output).exists() and Path(config.source).exists() and Path(config.output).samefile(config.source):
        raise UsageError(f"{config.output}: OUT is IN; give it another name")
    with usage_errors():
        interrupt.run(_stabilize(config))
    return 0


async def _stabilize(config: Config) -> None:
    from flowgimbal.client.transcode import stabilize_file

    async with serving(config) as server:
        with Progress("stabilizing") as progress:
            result = await stabilize_file(
                config.source,
                config.output,
                server,
                config.settings(),
                on_start=progress.expect,
                on_frame=progress.step,
            )
    for note in result.notes:
        complain(f"flowgimbal stabilize: {note}")
