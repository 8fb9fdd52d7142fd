"""``flowgimbal evaluate IN OUT``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from itertools import islice

from flowgimbal.client.cli.console import Progress, say
from flowgimbal.client.cli.options import UsageError


@dataclass(frozen=True, kw_only=True)
class Config:
    """The pair of videos, and how to say it."""

    source: str = field(metadata={"help": "the shaky video", "positional": "IN"})
    output: str = field(metadata={"help": "the steady video", "positional": "OUT"})
    limit: int = field(default=0, metadata={"help": "look at the first frames only; 0: all"})
    lag: int = field(default=0, metadata={"help": "frame i of OUT shows frame i - LAG of IN"})
    json: bool = field(default=False, metadata={"help": "print the figures as JSON"})

    def __post_init__(self) -> None:
        if self.limit < 0 or self.lag < 0:
            raise ValueError("limit and lag: a count of frames is not negative")


def run(config: Config) -> int:
    """Measure and print."""
    from flowgimbal.client.sources import VideoSource
    from flowgimbal.client.steadiness import compare
    from flowgimbal.client.steadiness.gray import Gray, gray_frames

    with VideoSource(config.source) as source:
        form = source.format
    limit = config.limit or None
    with Progress("measuring", min(form.frames, config.limit) if limit else form.frames) as progress:

        def counted() -> Iterator[Gray]:
            for picture in gray_frames(config.source, limit):
                progress.step()
                yield picture

        steady = islice(gray_frames(config.output), config.lag, None)
        try:
            report = compare(counted(), steady, float(form.rate))
        except ValueError as error:
            raise UsageError(str(error)) from error
    if config.json:
        say(json.dumps(asdict(report), indent=1))
        return 0
    for name, value in asdict(report).items():
        say(f"{name:15} {_shown(value)}")
    return 0


def _shown(value: float | None) -> str:
    if value is None:
        return "unknown"
    return str(value) if isinstance(value, int) else f"{value:.3f}"
