"""The asynchronous SDK against a server that gives every frame back."""

from __future__ import annotations

import asyncio
import socket

import numpy as np
import pytest

from flowgimbal.client import Client, Encoding, Frame, FrameTooLarge, Mode, StreamClosed, StreamSettings, Timeout
from flowgimbal.v1 import stabilizer_pb2 as pb


def picture(value: int, shape: tuple[int, ...] = (4, 6, 3)) -> np.ndarray:
    return np.full(shape, value, np.uint8)


async def test_arrays_go_out_and_come_back_in_order(address, echo):
    async with Client(address) as client, client.stream(mode="lossless", look_ahead_frames=0) as stream:
        steadies = [steady async for steady in stream.stabilize(picture(i) for i in range(20))]
    assert [steady.frame_id for steady in steadies] == list(range(20))
    assert all(np.array_equal(steady.image, picture(i)) for i, steady in enumerate(steadies))
    assert steadies[0].encoding is Encoding.BGR8
    np.testing.assert_array_equal(steadies[0].transform, [[1, 0, 5], [0, 1, 6], [0, 0, 1]])
    assert steadies[3].stats.total_ns == 7
    times = [steady.capture_time_ns for steady in steadies]
    assert times == sorted(times)
    assert echo.configs[0] == pb.StreamConfig(mode=pb.MODE_LOSSLESS, look_ahead_frames=0)


async def test_recorded_pictures_get_the_times_of_their_frame_rate(address, echo):
    async with Client(address) as client:
        for rate, expected in ((None, 33_333_333), (50.0, 20_000_000)):
            async with client.stream(mode="lossless", look_ahead_frames=0) as stream:
                pictures = (picture(i) for i in range(3))
                times = [s.capture_time_ns async for s in stream.stabilize(pictures, frame_rate=rate)]
            assert times == [0, expected, pytest.approx(2 * expected, abs=1)]


async def test_unset_wishes_stay_unset_on_the_wire(address, echo):
    async with Client(address) as client, client.stream() as stream:
        assert stream.info.settings == StreamSettings()
        assert (stream.info.stream_id, stream.info.engine) == ("echo-1", "echo")
    assert not echo.configs[0].ListFields()


async def test_every_wish_reaches_the_wire(address, echo):
    settings = StreamSettings(
        mode=Mode.LIVE,
        output_encoding=Encoding.JPEG,
        output_quality=80,
        smoothing_strength=0.5,
        look_ahead_frames=3,
        crop_policy="dynamic",
        max_crop_ratio=0.25,
    )
    async with Client(address) as client, client.stream(settings) as stream:
        assert stream.info.settings == settings
    assert len(echo.configs[0].ListFields()) == 7


async def test_an_unknown_name_is_refused_before_anything_is_sent(address):
    async with Client(address) as client:
        with pytest.raises(ValueError, match=r"crop_policy: 'some' is none of none, fixed, dynamic"):
            client.stream(crop_policy="some")


async def test_an_asynchronous_source_with_ids_and_times_of_its_own(address):
    async def frames():
        for i in range(5):
            yield Frame.from_array(picture(i, (3, 5)), frame_id=10 * i, capture_time_ns=i - 2)
            await asyncio.sleep(0)

    async with Client(address) as client, client.stream() as stream:
        steadies = [steady async for steady in stream.stabilize(frames())]
    assert [(s.frame_id, s.capture_time_ns) for s in steadies] == [(0, -2), (10, -1), (20, 0), (30, 1), (40, 2)]
    assert steadies[2].image.shape == (3, 5)


async def test_lock_step_does_not_deadlock_on_the_look_ahead(address, echo):
    echo.look_ahead = 3
    async with Client(address) as client, client.stream() as stream, asyncio.timeout(30):
        answers = [await stream.exchange(picture(i)) for i in range(5)]
        assert [answer and answer.frame_id for answer in answers] == [None, None, None, 0, 1]
        assert stream.in_flight == 3
        assert [steady.frame_id async for steady in stream.finish()] == [2, 3, 4]
        assert await stream.receive() is None


@pytest.mark.parametrize("resume", [False, True])
async def test_frames_dropped_after_the_last_that_came_back_are_told_at_the_end(address, echo, resume):
    echo.lost = 4
    async with Client(address) as client, client.stream(mode="live", resume=resume) as stream:
        numbers = [steady.frame_id async for steady in stream.stabilize(picture(i) for i in range(5))]
        assert (numbers, stream.sent, stream.dropped, stream.in_flight) == ([0, 1, 2, 3], 5, 1, 0)


async def test_a_receive_that_is_given_up_loses_nothing(address):
    async with Client(address) as client, client.stream() as stream:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stream.receive(), 0.05)
        await stream.send(picture(1))
        steady = await stream.receive()
        assert steady is not None
        assert steady.frame_id == 0


async def test_a_source_that_fails_ends_the_stream_with_its_own_error(address, echo):
    def frames():
        yield picture(0)
        raise KeyError("camera unplugged")

    async with Client(address) as client, client.stream() as stream:
        with pytest.raises(KeyError, match="camera unplugged"):
            async for _ in stream.stabilize(frames()):
                pass
    async with asyncio.timeout(30):
        await echo.over.wait()


async def test_a_loop_left_early_closes_the_stream_and_the_source(address, echo):
    closed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def frames():
        try:
            while True:
                yield picture(0)
        finally:
            loop.call_soon_threadsafe(closed.set)

    async with Client(address) as client, client.stream() as stream:
        async for _ in stream.stabilize(frames()):
            break
    async with asyncio.timeout(30):
        await closed.wait()
        await echo.over.wait()


async def test_a_stream_that_is_closed_says_so(address):
    async with Client(address) as client:
        stream = client.stream()
        with pytest.raises(StreamClosed):
            await stream.send(picture(0))
        async with stream:
            await stream.half_close()
            with pytest.raises(StreamClosed):
                await stream.send(picture(0))
            assert await stream.receive() is None
    with pytest.raises(StreamClosed):
        client.stream()


async def test_cancel_wakes_a_receiver(address):
    async with Client(address) as client, client.stream() as stream:
        receiver = asyncio.create_task(stream.receive())
        await asyncio.sleep(0.05)
        stream.cancel()
        with pytest.raises(StreamClosed):
            await receiver


async def test_a_4k_picture_fits_and_a_larger_message_is_named(address):
    async with Client(address) as client, client.stream() as stream:
        steady = await stream.exchange(picture(9, (2160, 3840, 3)))
        assert steady is not None
        assert steady.image.shape == (2160, 3840, 3)
    async with Client(address) as client, client.stream() as stream:
        with pytest.raises(FrameTooLarge):
            await stream.exchange(Frame(bytes(65 << 20), Encoding.JPEG))


async def test_a_server_that_never_answers_is_a_timeout():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        async with Client(f"127.0.0.1:{mute.getsockname()[1]}", timeout=0.2) as client:
            with pytest.raises(Timeout, match="did not open the stream"):
                async with client.stream():
                    pass


async def test_info_and_health(address):
    async with Client(address) as client:
        info = await client.info()
        assert (info.version, info.max_streams) == ("1.2.3", 4)
        assert info.input_encodings == (Encoding.BGR8, Encoding.JPEG)  # the one this SDK does not know is left out
        assert await client.health()


@pytest.mark.parametrize(
    "bad", [picture(0, (4, 4, 4)), picture(0).astype(np.float32), "frame.jpg", np.zeros((2, 2, 2, 3), np.uint8)]
)
async def test_what_is_no_picture_is_refused_here(address, bad):
    async with Client(address) as client, client.stream() as stream:
        with pytest.raises((ValueError, TypeError), match=r"uint8|shape|picture"):
            await stream.send(bad)
