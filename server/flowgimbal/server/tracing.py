"""Traces for OpenTelemetry: a span for each stream and, for a share of its frames, one with their stages inside.

Where spans go, and how many may wait to go there, the variables ``OTEL_*`` say, as with any program. Needs the extra
``telemetry``; a server that does not trace never imports this.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterable

from opentelemetry import propagate
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, StatusCode, Tracer, set_span_in_context

from flowgimbal.server.job import Job
from flowgimbal.server.session import Counters
from flowgimbal.v1 import stabilizer_pb2 as pb

FLUSH_SECONDS = 2.0
"""How long a server that stops waits for its collector."""
STREAM = "flowgimbal.v1.StabilizerService/Stream"
FRAME = "frame"
FAULTS = frozenset({"DATA_LOSS", "DEADLINE_EXCEEDED", "INTERNAL", "UNAVAILABLE", "UNIMPLEMENTED"})
"""Statuses that the conventions for RPC servers count as errors; the others are the client's doing."""


class Tracing:
    """Sends spans from a thread of its own. Those that a slow collector leaves no room for are lost, oldest first."""

    def __init__(self, frames: float, version: str) -> None:
        """``frames`` is the share of frames that have a span, [0, 1]. Raises ValueError for a bad ``OTEL_*``."""
        self._frames = frames
        own = {"service.name": "flowgimbal", "service.version": version}
        resource = Resource.create({**own, **OTELResourceDetector().detect().attributes})
        self._exporter = OTLPSpanExporter()
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("flowgimbal", version)

    def stream(self, stream_id: str, metadata: Iterable[tuple[str, str | bytes]], token: str) -> StreamTrace:
        """A stream began; ``metadata`` is its call's and may continue a trace, ``token`` its holder's name, if any."""
        return StreamTrace(self._tracer, self._frames, stream_id, metadata, token)

    def close(self) -> None:
        """Send what waits; a collector that does not take it within FLUSH_SECONDS is given up."""
        flushing = threading.Thread(target=self._provider.shutdown, name="traces-flush", daemon=True)
        flushing.start()
        flushing.join(FLUSH_SECONDS)
        if flushing.is_alive():
            self._exporter.shutdown()
            flushing.join(FLUSH_SECONDS)


class StreamTrace:
    """The span of one stream, from its call to its status, and those of its frames. Belongs to the event loop."""

    def __init__(
        self,
        tracer: Tracer,
        frames: float,
        stream_id: str,
        metadata: Iterable[tuple[str, str | bytes]],
        token: str,
    ) -> None:
        self._tracer = tracer
        self._frames = frames
        self._span = tracer.start_span(
            STREAM,
            propagate.extract({key: value for key, value in metadata if isinstance(value, str)}),
            SpanKind.SERVER,
            {"rpc.system.name": "grpc", "rpc.method": STREAM, "flowgimbal.stream_id": stream_id},
        )
        if token:
            self._span.set_attribute("flowgimbal.token", token)
        self._context = set_span_in_context(self._span)

    def configured(self, info: pb.StreamInfo) -> None:
        """The settings are known."""
        self._span.set_attribute("flowgimbal.mode", pb.Mode.Name(info.config.mode))
        self._span.set_attribute("flowgimbal.look_ahead_frames", info.config.look_ahead_frames)
        self._span.set_attribute("flowgimbal.engine", info.engine)

    def frame(self, job: Job) -> None:
        """``job`` went back just now."""
        if not self._span.is_recording() or random.random() >= self._frames:
            return
        now_ns = time.perf_counter_ns()
        to_epoch_ns = time.time_ns() - now_ns
        laps = job.clock.laps
        # As text: OTLP's integers are too small for the contract's ids.
        attributes: dict[str, str | int] = {"flowgimbal.frame_id": str(job.frame_id), "flowgimbal.bytes_sent": job.size}
        span = self._tracer.start_span(
            FRAME, self._context, attributes=attributes, start_time=laps[0].start_ns + to_epoch_ns
        )
        inside = set_span_in_context(span)
        for lap in laps:
            stage = self._tracer.start_span(lap.stage, inside, start_time=lap.start_ns + to_epoch_ns)
            stage.end(lap.end_ns + to_epoch_ns)
        span.end(now_ns + to_epoch_ns)

    def ended(
        self, outcome: str, counters: Counters, size: tuple[int, int] | None, encoding: pb.Encoding | None
    ) -> None:
        """The stream is over; ``outcome`` is its status and reason, as logged, ``encoding`` that of its frames."""
        code, _, reason = outcome.partition(" ")
        self._span.set_attribute("rpc.response.status_code", code)
        if code in FAULTS:
            self._span.set_status(StatusCode.ERROR, reason)
        if reason:
            self._span.set_attribute("error.type", reason)
        if size is not None:
            self._span.set_attribute("flowgimbal.width", size[0])
            self._span.set_attribute("flowgimbal.height", size[1])
        if encoding is not None:
            self._span.set_attribute("flowgimbal.encoding", pb.Encoding.Name(encoding))
        for name, count in (
            ("received", counters.received),
            ("returned", counters.returned),
            ("dropped", counters.dropped),
        ):
            self._span.set_attribute(f"flowgimbal.frames_{name}", count)
        self._span.end()
