"""Clients that take up room and give nothing for it: others go on, and they are told why they cannot."""

from __future__ import annotations

import asyncio
import socket
import threading
import urllib.request
from collections.abc import Iterator

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from wire import DEAF, Connection, call, data, message

from flowgimbal.v1 import stabilizer_pb2 as pb
from flowgimbal.v1 import stabilizer_pb2_grpc as pb_grpc

CHECK = "/grpc.health.v1.Health/Check"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
FEW_FILES = """
import resource, sys
from flowgimbal.server import __main__
resource.setrlimit(resource.RLIMIT_NOFILE, (256 + 2 * 10 + 2 * 20,) * 2)
sys.exit(__main__.main())
"""
"""Has 256 descriptors for itself, two for each of ten decoders, and twenty connections to each of two addresses."""
INFO = "/flowgimbal.v1.StabilizerService/GetServerInfo"


def test_connections_above_the_limit_are_hung_up_on(launch, connect, wire):
    server = launch("--max-connections", "8")
    stream = connect(server.address).stream(wire.config(look_ahead_frames=0))
    stream.info()
    host, port = server.address.split(":")
    crowd = [socket.create_connection((host, int(port))) for _ in range(40)]
    try:
        wire.eventually(lambda: sum(map(hung_up, crowd)) >= 32)
        stream.send(wire.frame(0))
        assert [frame.frame.frame_id for frame in stream.frames(1)] == [0]
    finally:
        for one in crowd:
            one.close()
    stream.half_close()
    wire.eventually(lambda: answers(server.address))


def test_connections_leave_descriptors_for_every_address_and_decoder(launch, wire):
    listen = ("--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0")
    server = launch(*listen, "--decoders", "process", "--max-streams", "10", program=("-c", FEW_FILES))
    crowds = []
    for address in server.wait_for("serving")["addresses"].split(","):
        host, port = address.split(":")
        crowds.append([socket.create_connection((host, int(port))) for _ in range(40)])
    try:
        wire.eventually(lambda: [sum(map(hung_up, crowd)) for crowd in crowds] == [20, 20])
    finally:
        for one in crowds[0] + crowds[1]:
            one.close()
    wire.eventually(lambda: answers(server.address))


def hung_up(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(100, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def answers(address: str) -> bool:
    with grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        try:
            request = pb.GetServerInfoRequest()
            return bool(pb_grpc.StabilizerServiceStub(channel).GetServerInfo(request, timeout=5).version)
        except grpc.RpcError:
            return False


def silent(over: threading.Event) -> Iterator[bytes]:
    """Says nothing until all is over."""
    over.wait()
    yield from ()


def test_requests_that_never_come_wait_in_a_queue_of_their_own(launch, connect, wire, tmp_path):
    local = f"unix:{tmp_path}/socket"
    server = launch("--listen", "127.0.0.1:0", "--listen", local)
    stream = connect(server.address).stream(wire.config(look_ahead_frames=0))
    stream.info()
    with grpc.insecure_channel(server.address) as channel:
        over = threading.Event()
        calls = [channel.stream_stream(CHECK if n % 2 else INFO)(silent(over), timeout=60) for n in range(60)]
        with grpc.insecure_channel(local) as near:  # a probe on this machine does not queue
            answer = health_pb2_grpc.HealthStub(near).Check(health_pb2.HealthCheckRequest(), timeout=30)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        codes = {call.code() for call in calls}
        over.set()
    assert codes == {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED}
    stream.send(wire.frame(0))
    assert len(stream.frames(1)) == 1
    stream.half_close()
    assert answers(server.address)


async def test_half_a_request_of_reflection_keeps_nobody_out_for_long(launch, wire):
    server = launch()
    halves = [await Connection.open(server.address) for _ in range(8)]
    for one in halves:
        await one.say(call(1, REFLECTION) + data(1, message(bytes(10_000), announced=60 << 20)))

    def told_off() -> bool:
        return all(b"4 reflections" in one.heard or b"came in whole" in one.heard for one in halves)

    await asyncio.to_thread(wire.eventually, told_off)
    for one in halves:
        one.close()

    def services() -> bool:
        ask = reflection_pb2.ServerReflectionRequest(list_services="")
        with grpc.insecure_channel(server.address) as channel:
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            try:
                (answer,) = stub.ServerReflectionInfo(iter([ask]), timeout=30)
            except grpc.RpcError:
                return False
        return bool(answer.list_services_response.service)

    await asyncio.to_thread(wire.eventually, services)


def test_large_requests_that_are_refused_are_let_go_of(launch, connect):
    server = launch()
    stub = health_pb2_grpc.HealthStub(connect(server.address).channel)
    large = health_pb2.HealthCheckRequest(service="x" * (40 << 20))
    before = most = server.ps.memory_info().rss
    for _ in range(20):
        with pytest.raises(grpc.RpcError) as caught:
            stub.Check(large, timeout=60)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        most = max(most, server.ps.memory_info().rss)
    assert most < before + (400 << 20)  # of 800 that were sent; about three requests while one is read


def test_a_metrics_page_hangs_up_on_who_asks_nothing(launch, wire):
    server = launch("--metrics-listen", "127.0.0.1:0")
    page = server.wait_for("serving")["metrics"]

    def read() -> bool:
        with urllib.request.urlopen(f"http://{page}/metrics", timeout=30) as answer:
            return b"flowgimbal_streams" in answer.read()

    assert read()
    threads, files = server.ps.num_threads(), server.ps.num_fds()
    host, port = page.split(":")
    crowd = [socket.create_connection((host, int(port))) for _ in range(100)]
    try:
        wire.eventually(lambda: sum(map(hung_up, crowd)) >= 84)
        assert read()  # for whom the oldest goes
        wire.eventually(lambda: all(map(hung_up, crowd)))
    finally:
        for one in crowd:
            one.close()
    wire.eventually(lambda: server.ps.num_threads() <= threads and server.ps.num_fds() <= files)
    assert {line["level"] for line in server.log} == {"info"}


@pytest.mark.slow
def test_a_call_without_configuration_gives_its_place_back(launch, connect, wire):
    server = launch("--max-streams", "1")
    error = connect(server.address).stream().error()
    assert (error.code, error.info.reason) == (grpc.StatusCode.DEADLINE_EXCEEDED, "NO_CONFIG")
    assert connect(server.address).exchange([wire.config(look_ahead_frames=0), wire.frame(0)])


def test_an_unary_call_without_a_request_is_told_so(server):
    with grpc.insecure_channel(server.address) as channel, pytest.raises(grpc.RpcError) as caught:
        channel.stream_unary(INFO)(iter(()), timeout=30)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_streams_that_are_refused_leave_nothing_behind(launch, connect, wire):
    server = launch("--max-streams", "1")
    holder = connect(server.address).stream(wire.config())
    holder.info()
    files = server.ps.num_fds()
    for _ in range(3):
        crowd = connect(server.address)
        streams = [crowd.stream(wire.config()) for _ in range(50)]
        assert {stream.error().info.reason for stream in streams} == {"TOO_MANY_STREAMS"}
        crowd.channel.close()
    wire.eventually(lambda: server.ps.num_fds() <= files, lambda: server.ps.net_connections())
    holder.cancel()


def test_calls_that_are_never_ended_keep_their_places(launch, connect, wire):
    server = launch("--max-streams", "2", "--idle-timeout-seconds", "1")
    deaf, big = connect(server.address), wire.jpeg(1280, 720, 100)
    streams = [deaf.stream(wire.lossless(), *(wire.frame(i, big) for i in range(300))) for _ in range(2)]
    server.wait_for("takes no status", 2)
    refusal = connect(server.address).stream(wire.config()).error()
    assert (refusal.code, refusal.info.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS")
    for stream in streams:
        stream.cancel()

    def served() -> bool:
        try:
            return bool(connect(server.address).exchange([wire.config(look_ahead_frames=0), wire.frame(0)]))
        except grpc.RpcError:
            return False

    wire.eventually(served)
    assert not [line for line in server.log if line["level"] == "error"]


async def test_calls_that_take_not_even_an_answer_keep_their_places(launch, connect, wire):
    server = launch("--max-streams", "2", "--idle-timeout-seconds", "1")
    deaf = await Connection.open(server.address, DEAF)
    config = message(wire.config().SerializeToString())
    for stream in (1, 3):
        await deaf.say(call(stream) + data(stream, config))
    await asyncio.to_thread(server.wait_for, "takes no status", 2)

    def refusal() -> str:
        try:
            connect(server.address).exchange([wire.lossless()])
        except grpc.RpcError as error:
            return error.details()
        return ""

    assert "all 2 streams" in await asyncio.to_thread(refusal)
    deaf.close()
    await asyncio.to_thread(wire.eventually, lambda: not refusal())


def decoders(server) -> list[psutil.Process]:
    """The processes of one server that decode."""
    return [one for child in server.ps.children() for one in child.children()]


def test_streams_that_fail_let_go_of_their_decoders_at_once(launch, connect, wire):
    server = launch("--decoders", "process")
    client = connect(server.address)
    for _ in range(4):
        stream = client.stream(wire.lossless(), *map(wire.frame, range(4)), wire.frame(4, b"no picture"))
        assert stream.error().info.reason == "FRAME_UNDECODABLE"
    wire.eventually(lambda: not decoders(server))


def test_decoders_that_are_killed_cost_a_frame_each(launch, connect, wire):
    server = launch("--decoders", "process")
    client = connect(server.address)
    live, lossless = client.stream(wire.config(look_ahead_frames=0)), client.stream(wire.lossless(look_ahead_frames=0))
    live.info()
    live.send(wire.frame(0))
    assert [one.frame.frame_id for one in live.frames(1)] == [0]
    (mine,) = decoders(server)
    lossless.info()
    lossless.send(wire.frame(0))
    assert [one.frame.frame_id for one in lossless.frames(1)] == [0]
    mine.kill()
    live.send(wire.frame(1))
    server.wait_for("a decoder died")
    live.send(wire.frame(2))
    live.half_close()
    (returned,) = live.frames()
    assert (returned.frame.frame_id, returned.stats.frames_dropped) == (2, 1)
    wire.eventually(lambda: len(decoders(server)) == 1)  # the ended stream's goes by itself
    (others,) = decoders(server)
    lossless.send(wire.frame(1))
    assert [one.frame.frame_id for one in lossless.frames(1)] == [1]
    others.kill()
    lossless.send(wire.frame(2))
    error = lossless.error()
    assert (error.code, error.info.reason) == (grpc.StatusCode.DATA_LOSS, "FRAME_UNDECODABLE")
    assert connect(server.address).exchange([wire.config(look_ahead_frames=0), wire.frame(0)])
    family = server.ps.children(recursive=True)
    server.process.kill()
    assert not psutil.wait_procs(family, 30)[1]
