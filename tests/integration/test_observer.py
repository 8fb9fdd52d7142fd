"""Watching and tuning streams that others run, over the socket, with the SDK."""

from __future__ import annotations

import asyncio
import math

import cv2
import grpc
import numpy as np
import pytest

from flowgimbal.client import Client, Encoding, Frame, InvalidRequest, NoSuchStream, Overloaded
from flowgimbal.v1 import stabilizer_pb2 as pb
from flowgimbal.v1 import stabilizer_pb2_grpc as pb_grpc

CODE = grpc.StatusCode


def size(jpeg: bytes) -> tuple[int, int]:
    height, width = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape[:2]
    return width, height


async def feed(stream, wire, *, shift: int = 4) -> None:
    """Send frames and take them back until cancelled."""
    world = wire.picture(1400, 900, 3)
    number = 0
    while True:
        x = 40 + (number % 2) * shift
        picture = np.ascontiguousarray(world[30:750, x : x + 1280])
        await stream.exchange(Frame.from_array(picture), capture_time_ns=number * 33_333_333)
        number += 1
        await asyncio.sleep(0.01)


@pytest.fixture
def served(launch, wire):
    """Runs a coroutine with a client and a stream that is fed."""

    def run(use, *flags: str, **wishes: object):
        async def running() -> object:
            wishes.setdefault("output_encoding", "jpeg")
            server = launch(*flags, engine="cpu")
            async with Client(server.address) as client, client.stream(**wishes) as stream:
                feeding = asyncio.ensure_future(feed(stream, wire))
                try:
                    async with asyncio.timeout(60):
                        return await use(client, stream)
                finally:
                    feeding.cancel()
                    await asyncio.gather(feeding, return_exceptions=True)

        return asyncio.run(running())

    return run


def test_a_watcher_sees_the_stream(served):
    async def use(client, stream):
        sights = []
        async for sight in client.watch(stream.info.stream_id, max_width=320):
            sights.append(sight)
            if len(sights) == 12:
                break
        assert [s.frame_id for s in sights] == sorted({s.frame_id for s in sights})
        last = sights[-1]
        assert (last.width, last.height, last.encoding) == (1280, 720, Encoding.BGR8)
        assert size(last.raw) == size(last.steady) == (320, 180)
        assert last.info == stream.info
        assert last.stats.frames_received >= last.frame_id
        # The scene shakes by four pixels, which is what is measured, and what the warp counters.
        assert all(3 < abs(s.motion[0]) < 5 and abs(s.motion[1]) < 1 for s in sights[2:])
        assert np.ptp([s.transform[0, 2] for s in sights]) > 2

    served(use, smoothing_strength=1.0)


def test_no_motion_is_measured_without_strength(served):
    async def use(client, stream):
        async for sight in client.watch(stream.info.stream_id):
            assert sight.motion is None
            assert np.array_equal(sight.transform, np.eye(3))
            assert sight.raw == sight.steady
            return

    served(use, smoothing_strength=0.0)


def test_an_observer_tunes_and_the_owner_learns_of_it(served):
    async def use(client, stream):
        changed = await client.tune(stream.info.stream_id, smoothing_strength=0.25, look_ahead_frames=0)
        assert changed.settings.smoothing_strength == 0.25
        while stream.info.settings.smoothing_strength != 0.25:  # noqa: ASYNC110 - the feeder's replies bring it
            await asyncio.sleep(0.05)
        with pytest.raises(InvalidRequest, match="smoothing_strength"):
            await client.tune(stream.info.stream_id, smoothing_strength=7.0)
        assert stream.info.settings.smoothing_strength == 0.25
        async for sight in client.watch(stream.info.stream_id):
            assert sight.info.settings.smoothing_strength == 0.25
            break

    served(use)


@pytest.mark.parametrize("resume", [False, True])
async def test_more_look_ahead_does_not_hold_up_who_waits_for_each_frame(launch, wire, resume):
    server = launch(engine="identity")
    frame = Frame(wire.jpeg(), Encoding.JPEG)
    async with (
        Client(server.address) as client,
        client.stream(mode="lossless", look_ahead_frames=0, resume=resume) as stream,
        asyncio.timeout(60),
    ):
        assert (await stream.exchange(frame)).frame_id == 0
        await client.tune(stream.info.stream_id, look_ahead_frames=5)
        answers = [await stream.exchange(frame) for _ in range(7)]
        assert [answer and answer.frame_id for answer in answers] == [None] * 5 + [1, 2]
        assert stream.info.latency_frames == 5


def test_the_watch_ends_with_the_stream(served):
    async def use(client, stream):
        seen = 0
        async for _ in client.watch(stream.info.stream_id):
            seen += 1
            if seen == 2:
                stream.cancel()
        assert seen >= 2
        for _ in range(100):  # until its threads are gone
            try:
                await client.tune(stream.info.stream_id, smoothing_strength=0.5)
            except NoSuchStream:
                return
            await asyncio.sleep(0.05)
        pytest.fail("the stream is still there")

    served(use)


def test_refusals(served):
    async def use(client, stream):
        for wrong in ({"max_width": 2}, {"max_rate": math.nan}, {"max_rate": 1e6}):
            with pytest.raises(InvalidRequest, match=next(iter(wrong))):
                await anext(client.watch(stream.info.stream_id, **wrong))
        with pytest.raises(NoSuchStream, match="no stream 'nobody'"):
            await anext(client.watch("nobody"))
        with pytest.raises(NoSuchStream, match="1000000 characters"):  # which the status does not repeat
            await client.tune("x" * 1_000_000)

    served(use)


def test_no_more_observers_than_are_allowed(served):
    async def use(client, stream):
        first = client.watch(stream.info.stream_id)
        await anext(first)
        with pytest.raises(Overloaded, match="max_observers"):
            await anext(client.watch(stream.info.stream_id))
        await first.aclose()
        for _ in range(100):  # the place is free again soon after
            try:
                await anext(client.watch(stream.info.stream_id))
                return
            except Overloaded:
                await asyncio.sleep(0.05)
        pytest.fail("the place was never given back")

    served(use, "--max-observers", "1")


def test_an_observer_of_a_stream_without_frames_is_let_go(launch, connect, wire):
    client = connect(launch().address)
    stream = client.stream(wire.config())
    stub = pb_grpc.ObserverServiceStub(client.channel)
    call = stub.Watch(pb.WatchRequest(stream_id=stream.info().stream_id), timeout=60)
    stream.half_close()
    assert list(call) == []


def test_an_observer_who_reads_nothing_is_ended(launch, connect, wire):
    server = launch("--idle-timeout-seconds", "1", "--max-observers", "1")
    client = connect(server.address)
    stream = client.stream(wire.lossless(look_ahead_frames=0))
    stub = pb_grpc.ObserverServiceStub(client.channel)
    request = pb.WatchRequest(stream_id=stream.info().stream_id, max_width=4096, max_rate=120)
    first = stub.Watch(request)
    rng = np.random.default_rng(0)
    noise = cv2.imencode(".jpg", rng.integers(0, 255, (1080, 1920, 3), dtype=np.uint8))[1].tobytes()
    number = 0

    def the_place_is_free() -> bool:
        nonlocal number
        stream.send(wire.frame(number, noise))
        stream.frames(1)
        number += 1
        again = stub.Watch(request)
        stream.send(wire.frame(number, noise))
        stream.frames(1)
        number += 1
        try:
            return bool(next(again).raw)
        except grpc.RpcError:
            return False
        finally:
            again.cancel()

    wire.eventually(the_place_is_free)
    with pytest.raises(grpc.RpcError) as caught:
        list(first)
    assert caught.value.code() is CODE.DEADLINE_EXCEEDED
    stream.half_close()


def test_an_observer_who_does_not_read_holds_nobody_up(launch, connect, wire):
    client = connect(launch().address)
    stream = client.stream(wire.lossless(look_ahead_frames=0))
    stub = pb_grpc.ObserverServiceStub(client.channel)
    call = stub.Watch(pb.WatchRequest(stream_id=stream.info().stream_id, max_width=4096, max_rate=120))
    stream.send(*(wire.frame(number, wire.jpeg(1280, 720)) for number in range(300)))
    stream.half_close()
    assert len(stream.frames()) == 300
    call.cancel()
