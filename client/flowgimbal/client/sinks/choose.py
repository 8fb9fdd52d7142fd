"""Which sink a URL means."""

from __future__ import annotations

from flowgimbal.client.sinks.mux import MuxSink
from flowgimbal.client.sinks.planes import FORMATS, PlaneSink
from flowgimbal.client.sinks.shot import Sink
from flowgimbal.client.sinks.sidecar import SidecarSink


def live_sink(url: str) -> Sink:
    """The sink for ``url``, not opened yet: a sidecar (.jsonl), planes (``y4m:``, ``raw:``, ``v4l2:``), or a container.

    Raises MediaError for one that can never work.
    """
    if url.endswith(".jsonl"):
        return SidecarSink(url)
    if url.partition(":")[0] in FORMATS:
        return PlaneSink(url)
    return MuxSink(url)


def target_of(url: str) -> str:
    """What a sink writes to: ``url`` without what says how."""
    kind, _, target = url.partition(":")
    return (target if kind in FORMATS else url).removeprefix("file:")
