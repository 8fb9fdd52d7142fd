"""An engine that fails, in a real server: live streams go on without it for a while, lossless ones end."""

from __future__ import annotations

import urllib.request

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from flowgimbal.server.guard import CALLS, PATIENCE

CODE = grpc.StatusCode
FAULTS = ("raises", "out of memory", "nonsense")

# An engine that fails as a file says: "CALL FAULT", or nothing.
PROGRAM = """
import dataclasses, sys
from pathlib import Path
import numpy as np
from flowgimbal.engines.engine import EngineError
from flowgimbal.engines.picker import IdentityEngine
from flowgimbal.engines.picture import Picture
from flowgimbal.server import __main__, app

def nonsense(call, answer):
    if call == "measure":
        return answer._replace(field=dataclasses.replace(answer.field, flow=answer.field.flow * np.nan))
    if call == "warp":
        return answer[:, :1]
    if call == "sample":
        return Picture(answer.layout, (answer.planes[0][1:],))
    raise KeyError("the picture")

def failing(call):
    right = getattr(IdentityEngine, call)
    def wrong(self, *arguments):
        told, _, fault = Path(ORDERS).read_text().partition(" ")
        if told == call and fault == "raises":
            raise EngineError("the card fell off the bus")
        if told == call and fault == "out of memory":
            raise MemoryError
        answer = right(self, *arguments)
        return nonsense(call, answer) if told == call else answer
    return wrong

Faulty = type("Faulty", (IdentityEngine,), {call: failing(call) for call in ("hold", "measure", "warp", "sample")})
app.pick = lambda *_: Faulty()
sys.exit(__main__.main())
"""


@pytest.fixture
def orders(tmp_path):
    path = tmp_path / "orders"
    path.write_text("")
    return path


@pytest.fixture
def faulty(launch, orders):
    """A server with the engine above, and a metrics page."""
    return launch("--metrics-listen", "127.0.0.1:0", program=("-c", f"ORDERS = {str(orders)!r}\n{PROGRAM}"))


def failures(server) -> dict[str, float]:
    page = server.wait_for("serving")["metrics"]
    with urllib.request.urlopen(f"http://{page}/metrics") as answer:
        lines = [line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if line[0] != "#"]
    found = {name: float(value) for name, value in lines}
    return {call: found[f'flowgimbal_engine_failures_total{{call="{call}"}}'] for call in CALLS}


def health(client) -> int:
    stub = health_pb2_grpc.HealthStub(client.channel)
    return stub.Check(health_pb2.HealthCheckRequest(service="flowgimbal.v1.StabilizerService"), timeout=60).status


def test_a_live_stream_goes_on_over_a_frame_that_the_engine_fails_on(faulty, connect, wire, orders):
    client = connect(faulty.address)
    sent = np.frombuffer(wire.gray(1).frame.data, np.uint8)
    for call in CALLS:
        for fault in FAULTS:
            before = failures(faulty)
            stream = client.stream(wire.config())
            stream.info()
            frames = []
            for number, order in enumerate(("", "", f"{call} {fault}", "")):
                orders.write_text(order)
                stream.send(wire.gray(number))
                frames += stream.frames(1)
            stream.half_close()
            assert stream.frames() == []
            assert [each.frame.frame_id for each in frames] == [0, 1, 2, 3]
            assert frames[-1].stats.frames_dropped == 0
            assert failures(faulty) == {**before, call: before[call] + 1}, (call, fault)
            transforms = [each.transform for each in frames]
            passed = call in ("hold", "sample")
            # The picture is enlarged by the crop, but for the frame that passes as it came.
            assert np.allclose(transforms[2], np.eye(3).ravel() if passed else transforms[1])
            assert np.array_equal(np.frombuffer(frames[2].frame.data, np.uint8), sent) == passed
            assert transforms[3] == transforms[1]
    told = [line for line in faulty.log if "the engine failed" in line["message"]]
    assert len(told) == len(CALLS) * len(FAULTS)  # once a stream
    assert health(client) == health_pb2.HealthCheckResponse.SERVING


@pytest.mark.parametrize("fault", FAULTS)
def test_a_lossless_stream_ends_with_what_it_had(faulty, connect, wire, orders, fault):
    client = connect(faulty.address)
    for call in CALLS:
        stream = client.stream(wire.lossless(look_ahead_frames=0), wire.gray(0))
        stream.info()
        assert len(stream.frames(1)) == 1
        orders.write_text(f"{call} {fault}")
        stream.send(wire.gray(1))
        refusal = stream.error()
        orders.write_text("")
        assert (refusal.code, refusal.info.reason) == (CODE.INTERNAL, "ENGINE_FAILURE"), call
        # The engine is tried out after each; with the order gone it works.
        wire.eventually(lambda: health(client) == health_pb2.HealthCheckResponse.SERVING)


def test_an_engine_that_fails_for_everybody_takes_no_streams_until_it_works_again(faulty, connect, wire, orders):
    client = connect(faulty.address)
    stream = client.stream(wire.config(), wire.gray(0))
    stream.info()
    stream.frames(1)
    orders.write_text("measure raises")
    for number in range(1, PATIENCE + 1):
        stream.send(wire.gray(number))
        assert [each.frame.frame_id for each in stream.frames(1)] == [number]
    assert health(client) == health_pb2.HealthCheckResponse.SERVING
    stream.send(wire.gray(PATIENCE + 1))
    refusal = stream.error()
    assert (refusal.code, refusal.info.reason) == (CODE.INTERNAL, "ENGINE_FAILURE")
    assert "the card fell off the bus" in refusal.message
    wire.eventually(lambda: health(client) == health_pb2.HealthCheckResponse.NOT_SERVING)
    refusal = client.stream(wire.config()).error()
    assert (refusal.code, refusal.info.reason) == (CODE.UNAVAILABLE, "ENGINE_FAILS")
    assert refusal.retry.retry_delay.ToNanoseconds() > 0
    orders.write_text("")
    wire.eventually(lambda: health(client) == health_pb2.HealthCheckResponse.SERVING)
    assert len(client.exchange([wire.lossless(), wire.gray(1)])) == 1
    for words in ("the engine works for nobody", "the engine works again"):
        assert sum(words in line["message"] for line in faulty.log) == 1


# No memory for what begins with a pixel of 1 on its way in, and of 2 on its way out.
SCARCE = """
import sys
from flowgimbal.server import __main__
from flowgimbal.server.codecs.raw import RawCodec, RawEncoder

def scarce(right, first, mark):
    def wrong(self, what, *rest):
        if first(what) == mark:
            raise MemoryError
        return right(self, what, *rest)
    return wrong

RawCodec.decode = scarce(RawCodec.decode, lambda frame: frame.data[0], 1)
RawEncoder.encode = scarce(RawEncoder.encode, lambda picture: picture.planes[0][0, 0], 2)
sys.exit(__main__.main())
"""


def marked(wire, number: int, mark: int):
    request = wire.gray(number)
    request.frame.data = bytes([mark]) + request.frame.data[1:]
    return request


def test_frames_that_there_is_no_memory_for_are_dropped_and_counted(launch, connect, wire):
    server = launch(program=("-c", SCARCE))
    client = connect(server.address)
    stream = client.stream(wire.config(smoothing_strength=0))  # pictures pass untouched
    stream.info()
    returned = []
    for number, mark in enumerate((0, 1, 0, 2, 0)):
        stream.send(marked(wire, number, mark))
        if not mark:  # one at a time, so that none is dropped for another
            returned += stream.frames(1)
    stream.half_close()
    assert stream.frames() == []
    assert [each.frame.frame_id for each in returned] == [0, 2, 4]
    assert [each.stats.frames_dropped for each in returned] == [0, 1, 2]
    for mark in (1, 2):
        refusal = client.stream(wire.lossless(smoothing_strength=0, look_ahead_frames=0), marked(wire, 0, mark)).error()
        assert refusal.code is CODE.INTERNAL
    assert len(client.exchange([wire.lossless(), wire.gray(1)])) == 1
