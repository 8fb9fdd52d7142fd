"""The figures of a run, as a program and as a person read them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from flowgimbal.client.bench.load import Timed

STAGES = ("total", "queue", "decode", "flow", "warp", "encode")

Figures = dict[str, Any]


def spread(seconds: Sequence[float]) -> Figures:
    """Percentiles in milliseconds; None each where nothing was measured."""
    if not seconds:
        return {"mean": None, "p50": None, "p95": None, "p99": None, "max": None}
    values = np.asarray(seconds) * 1e3
    p50, p95, p99 = np.percentile(values, (50, 95, 99))
    figures = {"mean": values.mean(), "p50": p50, "p95": p95, "p99": p99, "max": values.max()}
    return {name: round(float(value), 3) for name, value in figures.items()}


def figures_of(streams: Sequence[Timed], cpu: dict[str, float | None], memory: dict[str, float | None]) -> Figures:
    """All figures of a run. ``cpu`` in seconds and ``memory`` in MiB, of "server" and "client"; None: not known."""
    received = sum(stream.received for stream in streams)
    sent = sum(stream.sent for stream in streams)
    stats = [stats for stream in streams for stats in stream.stats]
    settings = streams[0].settings
    return {
        "engine": streams[0].engine,
        "settings": {name: value for name, value in vars(settings).items() if value not in (None, ())},
        "streams": len(streams),
        "frames_sent": sent,
        "frames_received": received,
        "frames_dropped": sum(stream.dropped for stream in streams),
        "fps": round(_together(streams), 2),
        "latency_ms": spread([latency for stream in streams for latency in stream.latencies]),
        "stages_ms": {stage: spread([getattr(s, f"{stage}_ns") * 1e-9 for s in stats]) for stage in STAGES},
        "cpu_seconds_per_frame": {
            side: None if used is None else round(used / max(received, 1), 6) for side, used in cpu.items()
        },
        "peak_memory_mib": {side: None if used is None else round(used, 1) for side, used in memory.items()},
        "bytes_per_frame": {
            "sent": round(sum(stream.bytes_out for stream in streams) / max(sent, 1)),
            "received": round(sum(stream.bytes_in for stream in streams) / max(received, 1)),
        },
    }


def _together(streams: Sequence[Timed]) -> float:
    """Frames that came back per second, of all streams, from the first's beginning to the last's end."""
    counted = [stream for stream in streams if len(stream.latencies) > 1]
    if not counted:
        return 0.0
    seconds = max(stream.last for stream in counted) - min(stream.first for stream in counted)
    return sum(len(stream.latencies) - 1 for stream in counted) / max(seconds, 1e-9)


def lines(figures: Figures) -> Iterator[str]:
    """The figures for a person."""
    wishes = ", ".join(f"{name} {value}" for name, value in figures["settings"].items())
    yield f"engine      {figures['engine']}; {wishes}"
    counts = [f"{figures[f'frames_{name}']} {name}" for name in ("sent", "received", "dropped")]
    yield f"frames      {', '.join(counts)}; {figures['streams']} stream(s)"
    yield f"fps         {figures['fps']}"
    yield f"latency     {_spread(figures['latency_ms'])}"
    for stage, values in figures["stages_ms"].items():
        yield f"  {stage:9} {_spread(values)}"
    cpu, memory = figures["cpu_seconds_per_frame"], figures["peak_memory_mib"]
    yield f"cpu         {_sides(cpu, 1e3, 'ms a frame')}"
    yield f"memory      {_sides(memory, 1, 'MiB at most')}"


def _spread(values: Figures) -> str:
    if values["p50"] is None:
        return "nothing measured"
    return f"p50 {values['p50']:.1f}  p95 {values['p95']:.1f}  p99 {values['p99']:.1f}  max {values['max']:.1f} ms"


def _sides(values: Figures, factor: float, unit: str) -> str:
    known = [f"{side} {value * factor:.1f}" for side, value in values.items() if value is not None]
    return f"{', '.join(known)} {unit}"
