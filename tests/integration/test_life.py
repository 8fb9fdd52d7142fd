"""A server's life: start, health, reflection, hostile clients, drain."""

from __future__ import annotations

import itertools
import socket
import urllib.request

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from flowgimbal.v1 import stabilizer_pb2 as pb

CODE = grpc.StatusCode
SERVICE = "flowgimbal.v1.StabilizerService"
CLI = ("-c", "from flowgimbal.client.cli.main import entry; entry()", "serve")
OBSERVER = "flowgimbal.v1.ObserverService"


def health(channel: grpc.Channel, name: str) -> int:
    stub = health_pb2_grpc.HealthStub(channel)
    return stub.Check(health_pb2.HealthCheckRequest(service=name), wait_for_ready=True, timeout=60).status


def test_health_serves_only_after_warm_up(gated, connect, tmp_path):
    (start, gate), listen = gated, f"unix:{tmp_path}/s"
    server = start("--listen", listen)
    channel = connect(listen).channel
    for name in ("", SERVICE, OBSERVER):
        assert health(channel, name) == health_pb2.HealthCheckResponse.NOT_SERVING
    gate.write_text("go")
    server.wait_for("serving")
    for name in ("", SERVICE):
        assert health(channel, name) == health_pb2.HealthCheckResponse.SERVING


def test_a_watcher_of_health_sees_the_server_come_and_go(gated, connect, tmp_path, wire):
    (start, gate), listen = gated, f"unix:{tmp_path}/s"
    server = start("--listen", listen)
    client = connect(listen)
    stub = health_pb2_grpc.HealthStub(client.channel)
    requests = [health_pb2.HealthCheckRequest(service=name) for name in ("", SERVICE, OBSERVER)]
    watches = [stub.Watch(request, timeout=60) for request in requests]
    assert [next(watch).status for watch in watches] == [health_pb2.HealthCheckResponse.NOT_SERVING] * 3
    gate.write_text("go")
    assert [next(watch).status for watch in watches] == [health_pb2.HealthCheckResponse.SERVING] * 3
    held = client.stream(wire.config())  # the drain lasts as long as it does
    held.info()
    server.terminate()
    assert [next(watch).status for watch in watches] == [health_pb2.HealthCheckResponse.NOT_SERVING] * 3
    held.half_close()
    for watch in watches:
        watch.cancel()
    assert server.exit_code() == 0


def test_reflection_lists_the_service(client):
    stub = reflection_pb2_grpc.ServerReflectionStub(client.channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    (answer,) = stub.ServerReflectionInfo(iter([request]))
    names = {service.name for service in answer.list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"} <= names


def test_drain_returns_every_frame_of_every_stream_and_exits_0(launch, connect, wire):
    server = launch("--drain-grace-seconds", "60")
    client = connect(server.address)
    streams = [client.stream(wire.lossless(), *(wire.frame(i) for i in range(30))) for _ in range(4)]
    for stream in streams:
        stream.info()
        assert len(stream.frames(1)) == 1
    server.terminate()
    for stream in streams:
        assert [f.frame.frame_id for f in stream.frames()] == list(range(1, 30))
        assert stream.call.code() is CODE.OK
        stream.half_close()
    assert server.exit_code() == 0


def test_a_client_that_never_stops_sending_is_drained_too(launch, connect, wire, tmp_path):
    """Neither the next frame, which is there each time, nor a budget that is spent holds the drain up."""
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(f'[camera]\ntoken = "a-token-of-camera-7"\nmax_pixels_per_second = {4 * 160 * 96}\n')
    server = launch("--drain-grace-seconds", "8", "--tokens-file", str(tokens), engine="identity")
    requests = itertools.chain([wire.lossless(look_ahead_frames=5)], (wire.gray(i) for i in itertools.count()))
    call = connect(server.address).stub.Stream(requests, metadata=[("authorization", "Bearer a-token-of-camera-7")])
    numbers = []
    for response in call:
        if response.HasField("frame"):
            numbers.append(response.frame.frame.frame_id)
        if len(numbers) == 6:
            server.terminate()
    assert call.code() is CODE.OK
    assert numbers == list(range(len(numbers)))
    assert server.exit_code() == 0
    ended = server.wait_for("stream ended")
    assert (ended["outcome"], ended["received"], ended["abandoned"]) == ("OK", len(numbers), 0)


def test_draining_refuses_new_streams(launch, connect, wire):
    server = launch("--drain-grace-seconds", "60", "--idle-timeout-seconds", "60")
    client = connect(server.address)
    # A client that does not read holds the drain open.
    blocked = client.stream(wire.lossless(), *(wire.frame(i, wire.jpeg(1500, 900, 100)) for i in range(60)))
    server.wait_for("serving")
    blocked.info()
    server.terminate()
    server.wait_for("draining")
    refusal = client.stream(wire.config()).error()
    assert (refusal.code, refusal.info.reason) == (CODE.UNAVAILABLE, "DRAINING")
    assert health(client.channel, SERVICE) == health_pb2.HealthCheckResponse.NOT_SERVING
    server.terminate()  # the second signal forces
    assert server.exit_code() == 0
    assert any("cancelled 1 streams" in line["message"] for line in server.log)
    blocked.cancel()


def test_a_client_that_never_reads_is_ended_and_disturbs_nobody(launch, connect, wire):
    server = launch("--idle-timeout-seconds", "1")
    deaf = connect(server.address)
    # Connect, warm every lazy corner and note what the server is made of then.
    connect(server.address).exchange([wire.lossless(), *(wire.frame(i, wire.jpeg(1280, 720)) for i in range(20))])
    deaf.stub.GetServerInfo(pb.GetServerInfoRequest())
    threads, files = server.ps.num_threads(), server.ps.num_fds()
    big = wire.jpeg(1280, 720, 100)
    streams = [
        deaf.stream(wire.config(mode=mode), *(wire.frame(i, big) for i in range(300)))
        for mode in (pb.MODE_LIVE, pb.MODE_LOSSLESS)
    ]
    other = connect(server.address).exchange([wire.lossless(), *(wire.gray(i) for i in range(100))])
    assert [f.frame.frame_id for f in other] == list(range(100))
    server.wait_for("stream ended", 4)
    outcomes = [line["outcome"] for line in server.log if line["message"] == "stream ended"]
    assert outcomes.count("DEADLINE_EXCEEDED IDLE_TIMEOUT") == 2
    wire.eventually(lambda: server.ps.num_threads() <= threads, lambda: server.ps.threads())
    for stream in streams:
        stream.cancel()
    wire.eventually(lambda: server.ps.num_fds() <= files + 1, lambda: server.ps.num_fds())


@pytest.mark.parametrize("mode", [pb.MODE_LIVE, pb.MODE_LOSSLESS], ids=pb.Mode.Name)
def test_clients_that_vanish_leave_nothing_behind(launch, connect, wire, mode):
    server = launch()
    data = wire.jpeg(1280, 720)

    def visit() -> None:
        client = connect(server.address)
        stream = client.stream(wire.config(mode=mode), *(wire.frame(i, data) for i in range(20)))
        stream.info()
        client.channel.close()
        stream.half_close()

    steady = connect(server.address).stream(wire.config(), wire.gray(1))
    steady.info()
    assert len(steady.frames(1)) == 1
    visit()
    server.wait_for("stream ended", 1)
    threads, files, memory = server.ps.num_threads(), server.ps.num_fds(), server.ps.memory_info().rss
    for visits in range(2, 14):
        visit()
        server.wait_for("stream ended", visits)
    wire.eventually(lambda: server.ps.num_threads() <= threads, lambda: server.ps.threads())
    wire.eventually(lambda: server.ps.num_fds() <= files, lambda: server.ps.open_files())
    assert server.ps.memory_info().rss < memory + (100 << 20)
    steady.send(wire.gray(2))
    steady.half_close()
    assert [f.frame.frame_id for f in steady.frames()] == [2]


def test_memory_goes_back_after_large_streams(launch, connect, wire):
    server = launch("--max-frame-pixels", "100000000")
    client = connect(server.address)
    client.exchange([wire.lossless(), *(wire.gray(i) for i in range(20))])
    server.wait_for("stream ended")
    before = server.ps.memory_info().rss
    for _ in range(2):
        client.exchange([wire.lossless(look_ahead_frames=10), *(wire.gray(i, 3840, 2160) for i in range(14))])
    # What fragments of the heap stay varies by tens of MB with the load; the frames that one of them held must be gone.
    limit = before + 11 * 3840 * 2160
    wire.eventually(lambda: server.ps.memory_info().rss < limit, lambda: server.ps.memory_info())


def test_sigterm_during_warm_up_ends_the_server(gated):
    start, gate = gated
    server = start()
    server.terminate()
    server.wait_for("stopped before the start was over")
    gate.write_text("go")
    assert server.exit_code() == 0


def test_a_client_cut_off_in_the_middle_of_a_frame(launch, connect, wire):
    server = launch()
    address = server.address.rsplit(":", 1)
    # An HTTP/2 preface, settings, and half of a frame's header: then the line goes dead.
    with socket.create_connection((address[0], int(address[1]))) as line:
        line.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]) + bytes([0, 0, 99, 1]))
    returned = connect(server.address).exchange([wire.lossless(), wire.gray(1)])
    assert len(returned) == 1


def test_metrics_count_what_was_refused_and_how_streams_ended(launch, connect, wire):
    server = launch("--metrics-listen", "127.0.0.1:0", "--max-streams", "1")
    page = server.wait_for("serving")["metrics"]

    def metrics() -> dict[str, float]:
        with urllib.request.urlopen(f"http://{page}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}

    assert metrics()['flowgimbal_streams_ended_total{status="INTERNAL"}'] == 0
    client = connect(server.address)
    request = wire.gray(1)
    held = client.stream(wire.lossless(look_ahead_frames=0), request)
    held.info()
    (returned,) = held.frames(1)
    assert client.stream(wire.config()).error().code is CODE.RESOURCE_EXHAUSTED
    held.cancel()
    server.wait_for("stream ended")
    assert client.stream(wire.config(output_quality=101)).error().code is CODE.INVALID_ARGUMENT
    client.exchange([wire.lossless()])
    found = metrics()
    for name, value in {
        'flowgimbal_calls_refused_total{reason="TOO_MANY_STREAMS"}': 1,
        'flowgimbal_streams_ended_total{status="CANCELLED"}': 1,
        'flowgimbal_streams_ended_total{status="INVALID_ARGUMENT"}': 1,
        'flowgimbal_streams_ended_total{status="OK"}': 1,
        "flowgimbal_bytes_received_total": len(request.frame.data),
        "flowgimbal_bytes_sent_total": len(returned.frame.data),
    }.items():
        assert found[name] == value, name
    assert found["process_cpu_seconds_total"] > 0
    assert found["process_resident_memory_bytes"] > 1 << 20


def test_every_line_of_a_json_log_is_json_even_if_the_server_cannot_start(launch):
    first = launch()
    for flags in ((), ("--processes", "2")):
        second = launch("--listen", first.address, *flags, wait=False, program=CLI)
        assert second.exit_code() == 3
        assert "plain" not in {line["level"] for line in second.log}, second.log
        assert first.address in second.log[-1]["message"]


def test_start_up_fails_with_3_when_the_port_is_taken(launch):
    first = launch()
    second = launch("--listen", first.address, wait=False)
    assert second.exit_code() == 3
    assert first.address in second.log[-1]["message"]


def test_start_up_fails_with_3_when_a_running_server_has_the_socket(launch, tmp_path):
    listen = f"unix:{tmp_path}/s"
    launch("--listen", listen)
    second = launch("--listen", listen, wait=False)
    assert second.exit_code() == 3
    assert "in use" in second.log[-1]["message"]


def test_a_stale_socket_is_taken_over_and_removed_at_the_end(launch, connect, wire, tmp_path):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    server = launch("--listen", f"unix:{path}")
    assert len(connect(f"unix:{path}").exchange([wire.lossless(), wire.gray(1)])) == 1
    server.terminate()
    assert server.exit_code() == 0
    assert not path.exists()


def test_a_bad_flag_exits_2(launch):
    server = launch("--max-streams", "0", wait=False)
    assert server.exit_code() == 2
    assert "max_streams" in server.log[-1]["message"]


def test_metrics_and_log_tell_the_same(launch, connect, wire):
    server = launch("--metrics-listen", "127.0.0.1:0")
    page = server.wait_for("serving")["metrics"]
    stream = connect(server.address).stream(wire.lossless(), *(wire.frame(i) for i in range(7)))
    stream_id = stream.info().stream_id
    stream.half_close()
    assert len(stream.frames()) == 7
    ended = server.wait_for("stream ended")
    assert ended["stream_id"] == stream_id
    assert (ended["outcome"], ended["received"], ended["returned"], ended["dropped"]) == ("OK", 7, 7, 0)
    with urllib.request.urlopen(f"http://{page}/metrics") as answer:
        text = answer.read().decode()
    for line in (
        "flowgimbal_streams 0.0",
        "flowgimbal_frames_received_total 7.0",
        "flowgimbal_frames_sent_total 7.0",
        "flowgimbal_frames_dropped_total 0.0",
        "flowgimbal_frame_latency_seconds_count 7.0",
        'flowgimbal_stage_seconds_count{stage="flow"} 7.0',
        'flowgimbal_engine_info{engine="identity",',
    ):
        assert line in text
