"""Numbers for Prometheus; no labels a stream, so that their number stays bounded."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
)

from flowgimbal.server.errors import StreamError
from flowgimbal.server.guard import CALLS
from flowgimbal.server.job import STAGES

_BUCKETS = (0.001, 0.002, 0.004, 0.006, 0.008, 0.012, 0.016, 0.024, 0.032, 0.048, 0.064, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Metrics:
    """All metrics of one server, in a registry of its own so that a process may run several."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.streams = Gauge("flowgimbal_streams", "Streams running now.", registry=self.registry)
        self.received = Counter("flowgimbal_frames_received", "Frames received.", registry=self.registry)
        self.sent = Counter("flowgimbal_frames_sent", "Frames returned.", registry=self.registry)
        self.dropped = Counter("flowgimbal_frames_dropped", "Frames dropped.", registry=self.registry)
        self.abandoned = Counter(
            "flowgimbal_frames_abandoned",
            "Frames under way when their stream failed or was cancelled.",
            registry=self.registry,
        )
        self.bytes_received = Counter(
            "flowgimbal_bytes_received", "Bytes of the pictures received, as they came.", registry=self.registry
        )
        self.bytes_sent = Counter("flowgimbal_bytes_sent", "Bytes of the pictures returned.", registry=self.registry)
        self.refused = Counter(
            "flowgimbal_calls_refused",
            "Calls turned away before they began, by the reason told to the client.",
            labelnames=("reason",),
            registry=self.registry,
        )
        self.ended = Counter(
            "flowgimbal_streams_ended",
            "Streams that ended, by gRPC status.",
            labelnames=("status",),
            registry=self.registry,
        )
        for status in sorted({"OK", *(leaf.code.name for leaf in StreamError.__subclasses__())}):
            self.ended.labels(status)  # a rate needs a zero to start from
        self.decoders_died = Counter(
            "flowgimbal_decoders_died", "Processes of decoders that a frame killed.", registry=self.registry
        )
        self._engine_failures = Counter(
            "flowgimbal_engine_failures",
            "Calls of the engine that failed; live streams go on without.",
            labelnames=("call",),
            registry=self.registry,
        )
        for call in CALLS:
            self._engine_failures.labels(call)
        ProcessCollector(registry=self.registry)
        self._latency = Histogram(
            "flowgimbal_frame_latency_seconds",
            "From the arrival of a frame to its return, the look-ahead's waiting left out.",
            buckets=_BUCKETS,
            registry=self.registry,
        )
        stage = Histogram(
            "flowgimbal_stage_seconds",
            "Time of a frame in one stage.",
            labelnames=("stage",),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._stages = {name: stage.labels(name) for name in STAGES}
        self._engine = Info("flowgimbal_engine", "The engine that runs the networks.", registry=self.registry)

    def engine(self, name: str, version: str) -> None:
        """Name the engine and the server's release."""
        self._engine.info({"engine": name, "version": version})

    def engine_failed(self, call: str) -> None:
        """The engine failed; ``call`` is one of ``guard.CALLS``. From any thread."""
        self._engine_failures.labels(call).inc()

    def observe(self, spent_ns: Mapping[str, int]) -> None:
        """A frame went back; ``spent_ns`` by stage."""
        self.sent.inc()
        self._latency.observe(sum(spent_ns.values()) * 1e-9)
        for name, stage in self._stages.items():
            stage.observe(spent_ns[name] * 1e-9)
