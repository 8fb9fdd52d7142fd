"""A few thousand messages of the long run, and what it found."""

from __future__ import annotations

import socket

import grpc
import pytest
import wire as http2
from fuzz import over_socket

NO_TEXT = b"\xff\xfe\x8e/"


@pytest.mark.slow
async def test_a_server_stands_a_fuzzer_and_nobody_else_notices():
    outcome = await over_socket.run(messages=3000, seed=1)
    assert outcome.faults == ()
    assert outcome.tally.messages >= 3000
    assert outcome.tally.frames > 0
    assert outcome.tally.told["raw connections"] > 0
    assert outcome.beside["returned"] == outcome.beside["sent"] > 0


def test_a_path_that_is_no_text_stops_nobody(launch, connect, wire):
    server = launch()
    stream = connect(server.address).stream(wire.config(look_ahead_frames=0))
    stream.info()
    call = http2.call(1, "/path").replace(b"/path", b"/" + NO_TEXT)
    host, port = server.address.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(http2.PREFACE + http2.frame(http2.SETTINGS, 0, 0) + call)
        status = http2.frame(http2.HEADERS, http2.END_STREAM | http2.END_HEADERS, 1)[3:]
        heard = b""
        while status not in heard:
            part = connection.recv(4096)
            assert part, f"the server hung up after {heard!r}"
            heard += part
    stream.send(wire.frame(0))
    assert [steady.frame.frame_id for steady in stream.frames(1)] == [0]
    stream.half_close()
    with grpc.insecure_channel(server.address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        grpc.channel_ready_future(channel).result(timeout=30)
