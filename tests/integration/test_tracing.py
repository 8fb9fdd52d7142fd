"""Traces of a real server, as a collector of OpenTelemetry's gets them."""

from __future__ import annotations

import contextlib
import queue
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from flowgimbal.v1 import stabilizer_pb2 as pb

STREAM = "flowgimbal.v1.StabilizerService/Stream"
TRACE_ID, PARENT_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CONTINUED = ("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-01")
WITHOUT_THE_EXTRA = """
import sys
sys.modules["opentelemetry"] = None
from flowgimbal.server.__main__ import main
sys.exit(main())
"""
HANG = 20
"""Seconds in which a server must have ended: ten times what it waits, less than what the SDK would."""


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self._batches: queue.Queue[trace_service_pb2.ExportTraceServiceRequest] = queue.Queue()
        self.resource: dict[str, str] = {}

    def Export(self, request, context):  # noqa: N802 - gRPC's name
        self._batches.put(request)
        return trace_service_pb2.ExportTraceServiceResponse()

    def spans(self) -> list[Span]:
        """All that a server sent which has ended since."""
        found: list[Span] = []
        while not self._batches.empty():
            for part in self._batches.get().resource_spans:
                self.resource = values(part.resource.attributes)
                found += [span for scope in part.scope_spans for span in scope.spans]
        return found


def values(attributes) -> dict[str, object]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


@pytest.fixture
def collector(monkeypatch) -> Iterator[Collector]:
    serving = grpc.server(ThreadPoolExecutor(2))
    collector = Collector()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, serving)
    port = serving.add_insecure_port("127.0.0.1:0")
    serving.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    yield collector
    serving.stop(None).wait()


def exchange(client, requests, *metadata: tuple[str, str]) -> list[pb.StreamResponse]:
    return list(client.stub.Stream(iter(requests), metadata=metadata, timeout=60))


def end(server) -> None:
    server.terminate()
    assert server.process.wait(HANG) == 0


def test_a_stream_is_a_span_with_its_frames_and_their_stages(launch, connect, wire, tmp_path, collector):
    token = "a-token-of-the-seventh-camera"
    (tmp_path / "tokens.toml").write_text(f'[camera-7]\ntoken = "{token}"\n')
    server = launch("--traces", "--trace-frames", "1", "--tokens-file", str(tmp_path / "tokens.toml"))
    ids = [*range(11), 2**64 - 1]
    frames = [wire.frame(frame_id, capture_time_ns=n * 33_333_333) for n, frame_id in enumerate(ids)]
    requests = [wire.lossless(look_ahead_frames=2), *frames]
    info, *returned = exchange(connect(server.address), requests, CONTINUED, ("authorization", f"Bearer {token}"))
    end(server)
    spans = collector.spans()
    assert (collector.resource["service.name"], "service.version" in collector.resource) == ("flowgimbal", True)

    (stream,) = [span for span in spans if span.name == STREAM]
    assert {span.trace_id.hex() for span in spans} == {TRACE_ID}
    assert (stream.parent_span_id.hex(), stream.kind) == (PARENT_ID, Span.SPAN_KIND_SERVER)
    assert stream.status.code == Status.STATUS_CODE_UNSET
    assert values(stream.attributes) == {
        "rpc.system.name": "grpc",
        "rpc.method": STREAM,
        "rpc.response.status_code": "OK",
        "flowgimbal.stream_id": info.info.stream_id,
        "flowgimbal.token": "camera-7",
        "flowgimbal.mode": "MODE_LOSSLESS",
        "flowgimbal.look_ahead_frames": 2,
        "flowgimbal.engine": "identity",
        "flowgimbal.encoding": "ENCODING_JPEG",
        "flowgimbal.width": 160,
        "flowgimbal.height": 96,
        "flowgimbal.frames_received": 12,
        "flowgimbal.frames_returned": 12,
        "flowgimbal.frames_dropped": 0,
    }

    of_frames = [span for span in spans if span.name == "frame"]
    assert [values(span.attributes)["flowgimbal.frame_id"] for span in of_frames] == [str(n) for n in ids]
    for span, response in zip(of_frames, returned, strict=True):
        assert span.parent_span_id == stream.span_id
        assert stream.start_time_unix_nano < span.start_time_unix_nano
        assert span.end_time_unix_nano < stream.end_time_unix_nano
        assert values(span.attributes)["flowgimbal.bytes_sent"] == len(response.frame.frame.data)
        stages = [stage for stage in spans if stage.parent_span_id == span.span_id]
        assert span.start_time_unix_nano == stages[0].start_time_unix_nano
        spent: Counter[str] = Counter()
        for stage, after in zip(stages, [*stages[1:], None], strict=True):
            assert stage.end_time_unix_nano <= (after.start_time_unix_nano if after else span.end_time_unix_nano)
            spent[stage.name] += stage.end_time_unix_nano - stage.start_time_unix_nano
        # The very times that the client was told.
        told = response.frame.stats
        assert spent == {name: getattr(told, f"{name}_ns") for name in ("queue", "decode", "flow", "warp", "encode")}
    assert len(spans) == 1 + len(of_frames) + sum(span.name not in (STREAM, "frame") for span in spans)


def test_only_what_is_asked_for_is_traced(launch, connect, wire, collector, monkeypatch):
    monkeypatch.setenv("OTEL_SERVICE_NAME", "gimbal-of-the-roof")
    server = launch("--traces", "--trace-frames", "0")
    client = connect(server.address)
    requests = [wire.lossless(), wire.frame(1)]
    unsampled = ("traceparent", f"00-{TRACE_ID}-{PARENT_ID}-00")
    for metadata in (unsampled, ("traceparent", "00-not-a-trace-01")):
        assert len(exchange(client, requests, metadata)) == 2
    end(server)
    (stream,) = collector.spans()
    assert (stream.name, stream.parent_span_id) == (STREAM, b"")
    assert stream.trace_id.hex() != TRACE_ID
    assert collector.resource["service.name"] == "gimbal-of-the-roof"


def test_a_share_of_the_frames_is_a_share(launch, connect, wire, collector):
    server = launch("--traces", "--trace-frames", "0.3")
    exchange(connect(server.address), [wire.lossless(), *(wire.gray(n, 32, 32) for n in range(500))])
    end(server)
    # Of 500 independent draws, 150 on average; less likely than one in 10^9 to be further off than 64.
    assert abs(sum(span.name == "frame" for span in collector.spans()) - 150) < 64


def test_a_span_says_how_its_stream_failed(launch, connect, wire, collector):
    server = launch("--traces", "--trace-frames", "1")
    client = connect(server.address)
    for requests in ([wire.lossless(), wire.frame(1), wire.frame(2, b"no picture")], [wire.frame(1)]):
        with pytest.raises(grpc.RpcError):
            exchange(client, requests)
    held = client.stream(wire.lossless())
    held.info()
    held.cancel()
    server.wait_for("stream ended", 3)
    end(server)
    broken, early, gone = (span for span in collector.spans() if span.name == STREAM)
    assert (broken.status.code, broken.status.message) == (Status.STATUS_CODE_ERROR, "FRAME_UNDECODABLE")
    assert values(broken.attributes)["rpc.response.status_code"] == "DATA_LOSS"
    assert values(broken.attributes)["flowgimbal.frames_returned"] == 1
    assert early.status.code == Status.STATUS_CODE_UNSET  # the client's doing
    assert values(early.attributes)["rpc.response.status_code"] == "INVALID_ARGUMENT"
    assert values(early.attributes)["error.type"] == "FIRST_MESSAGE_NOT_CONFIG"
    assert values(gone.attributes)["rpc.response.status_code"] == "CANCELLED"


@pytest.mark.parametrize("how", ["refuses", "never answers"])
def test_a_dead_collector_costs_spans_and_nothing_else(launch, connect, wire, monkeypatch, how):
    with contextlib.ExitStack() as stack:
        dead = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = dead.getsockname()[1]
        if how == "refuses":
            stack.close()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "64")
        monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "16")
        server = launch("--traces", "--trace-frames", "1")
        client = connect(server.address)
        returned = client.exchange([wire.lossless(), *(wire.gray(n) for n in range(200))])
        assert [each.frame.frame_id for each in returned] == list(range(200))
        server.wait_for("Queue full")
        end(server)
    assert server.wait_for("stopped")


def test_without_the_extra_a_server_serves_and_traces_are_refused(launch, connect, wire):
    program = ("-c", WITHOUT_THE_EXTRA)
    server = launch(program=program)
    assert len(connect(server.address).exchange([wire.lossless(), wire.frame(1)])) == 1
    refused = launch("--traces", program=program, wait=False)
    assert refused.exit_code() == 3
    assert "flowgimbal[telemetry]" in refused.log[-1]["message"]


def test_a_bad_variable_is_named(launch, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "soon")
    refused = launch("--traces", wait=False)
    assert refused.exit_code() == 3
    assert "OTEL_" in refused.log[-1]["message"]
    assert "soon" in refused.log[-1]["message"]
