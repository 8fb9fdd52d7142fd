"""How the cost of a frame grows, for ``flowgimbal bench --sweep``: with pixels, streams, look-ahead and time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flowgimbal.client.cli.bench import Config

Measure = Callable[["Config"], Awaitable[dict[str, Any]]]

_VARIED: dict[str, Sequence[Any]] = {
    "size": ("640x360", "1280x720", "1920x1080", "2560x1440"),
    "streams": (1, 2, 4),
    "look_ahead_frames": (0, 15, 30),
    "frames": (150, 600, 2400),
}


async def sweep(config: Config, measure: Measure) -> AsyncIterator[dict[str, Any]]:
    """What ``measure`` finds as one setting after another is varied, the others as in ``config``."""
    for name, values in _VARIED.items():
        for value in values:
            varied = replace(config, **{name: value})
            width, height = varied.width_and_height()
            figures = await measure(varied)
            yield {"varied": name, "value": value, "megapixels": round(width * height / 1e6, 3), **figures}


def heading() -> str:
    """Above the lines."""
    return f"{'varied':<26} CPU ms a frame   a megapixel     fps   p50 ms   MiB"


def line(found: dict[str, Any]) -> str:
    """One run for a person; CPU and memory are the server's."""
    cpu, memory = found["cpu_seconds_per_frame"]["server"], found["peak_memory_mib"]["server"]
    dear = f"{cpu * 1e3:14.1f}   {cpu * 1e3 / found['megapixels']:11.1f}" if cpu else f"{'not known':>28}"
    latency = found["latency_ms"]["p50"] or float("nan")
    return (
        f"{found['varied']:<18}{found['value']!s:>8} {dear}  {found['fps']:6.1f}  {latency:7.1f}"
        f"  {'' if memory is None else f'{memory:.0f}':>4}"
    )
