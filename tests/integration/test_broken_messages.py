"""Bytes that are no message of the method's, at every method: the client is told so, and the log has no error."""

from __future__ import annotations

import grpc
import pytest

from flowgimbal.v1 import stabilizer_pb2 as pb

BROKEN = b"\xff\xff\xff"
NAMELESS = pb.TuneRequest(stream_id="0123456789").SerializeToString().replace(b"0123", b"\xff\xfe\xfd\xfc")  # no UTF-8
STREAM = "/flowgimbal.v1.StabilizerService/Stream"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


def errors(server) -> list[dict]:
    return [line for line in server.log if line["level"] == "error"]


@pytest.mark.parametrize(
    ("method", "data"),
    [
        ("/flowgimbal.v1.StabilizerService/GetServerInfo", BROKEN),
        ("/flowgimbal.v1.ObserverService/Tune", BROKEN),
        ("/flowgimbal.v1.ObserverService/Tune", NAMELESS),
        ("/flowgimbal.v1.ObserverService/Watch", BROKEN),
        ("/grpc.health.v1.Health/Check", BROKEN),
    ],
)
def test_a_request_that_is_none(server, client, method, data):
    before = len(errors(server))
    with pytest.raises(grpc.RpcError) as caught:
        list(client.channel.unary_stream(method)(data, timeout=30))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "a message came that cannot be read" in caught.value.details()
    assert errors(server)[before:] == []


@pytest.mark.parametrize("first", [[], [pb.StreamRequest(config=pb.StreamConfig()).SerializeToString()]])
def test_a_message_that_is_none_ends_its_stream(server, client, first):
    before = len(errors(server))
    with pytest.raises(grpc.RpcError) as caught:
        list(client.channel.stream_stream(STREAM)(iter([*first, BROKEN]), timeout=30))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert errors(server)[before:] == []
    assert server.wait_for("stream ended")


@pytest.mark.parametrize("first", [[], [pb.StreamRequest(config=pb.StreamConfig())]])
def test_a_message_that_is_too_large_is_no_good_end(launch, connect, wire, first):
    server = launch("--max-message-bytes", "100000", engine="identity")
    stub = connect(server.address).stub
    for count in range(1, 21):
        with pytest.raises(grpc.RpcError) as caught:
            list(stub.Stream(iter([*first, wire.frame(0, bytes(200_000))]), timeout=30))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "larger than max" in caught.value.details()
        server.wait_for("stream ended", count)
    assert errors(server) == []
    assert {line["outcome"] for line in server.log if line["message"] == "stream ended"} == {"CANCELLED"}


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_compressed_messages_are_refused_and_not_unpacked(server, client, compression):
    request = pb.GetServerInfoRequest()
    with pytest.raises(grpc.RpcError) as caught:
        client.stub.GetServerInfo(request, timeout=30, compression=compression)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
    assert "is disabled" in caught.value.details()
    assert client.stub.GetServerInfo(request, timeout=30).version


def test_reflection_refuses_what_is_no_request_and_what_is_too_large(server, client):
    before = len(errors(server))
    reflect = client.channel.stream_stream(REFLECTION)
    assert list(reflect(iter([b""]), timeout=30))  # an error among the answers
    for data in (BROKEN, b"\x1a\xd0\x0f" + b"x" * 2000):
        with pytest.raises(grpc.RpcError) as caught:
            list(reflect(iter([data]), timeout=30))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert errors(server)[before:] == []
