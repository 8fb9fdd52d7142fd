"""What no server shows at will: the moment at which a caller gives up, and how attempts end."""

from __future__ import annotations

import asyncio

import pytest

from flowgimbal.client import ServerFault, StreamClosed, Unavailable
from flowgimbal.client.call import Call
from flowgimbal.client.resuming import ENDINGS, Resuming
from flowgimbal.v1 import stabilizer_pb2 as pb

INFO = pb.StreamResponse(info=pb.StreamInfo(stream_id="one"))


def steady(number: int) -> pb.StreamResponse:
    return pb.StreamResponse(frame=pb.StabilizedFrame(frame=pb.Frame(frame_id=number)))


def frame(number: int) -> pb.StreamRequest:
    return pb.StreamRequest(frame=pb.Frame(frame_id=number, encoding=pb.ENCODING_JPEG))


class Exchange:
    """gRPC's side of a call: what is read comes when the test says so."""

    def __init__(self) -> None:
        self.coming: asyncio.Queue[pb.StreamResponse] = asyncio.Queue()
        self.writing = 0
        self.at_once = 0
        self.coming.put_nowait(INFO)

    async def write(self, _: pb.StreamRequest) -> None:
        self.writing += 1
        self.at_once = max(self.at_once, self.writing)
        await asyncio.sleep(0)
        self.writing -= 1

    async def done_writing(self) -> None:
        await self.write(INFO)

    async def read(self) -> pb.StreamResponse:
        return await self.coming.get()

    def add_done_callback(self, _: object) -> None:
        pass

    def cancelled(self) -> bool:
        return False

    def cancel(self) -> bool:
        return True


@pytest.mark.parametrize("passes", range(5))
@pytest.mark.parametrize("resume", [False, True])
async def test_what_comes_in_the_moment_of_giving_up_is_the_next_callers(resume, passes):
    exchange = Exchange()
    road = Call(lambda: exchange, pb.StreamConfig(), "here", 1.0)
    if resume:
        call = road
        road = Resuming(lambda *_: call, pb.StreamConfig())
    await road.open()
    await road.write(frame(0))
    waiting = asyncio.ensure_future(road.read())
    for _ in range(5):
        await asyncio.sleep(0)
    exchange.coming.put_nowait(steady(0))
    for _ in range(passes):
        await asyncio.sleep(0)
    waiting.cancel()
    (outcome,) = await asyncio.gather(waiting, return_exceptions=True)
    if isinstance(outcome, asyncio.CancelledError):
        async with asyncio.timeout(10):
            outcome = await road.read()
    assert outcome.frame.frame.frame_id == 0
    await road.close()


async def test_messages_are_written_one_at_a_time():
    exchange = Exchange()
    call = Call(lambda: exchange, pb.StreamConfig(), "here", 1.0)
    await call.open()
    await asyncio.gather(*(call.write(frame(number)) for number in range(4)), call.half_close())
    assert exchange.at_once == 1


class Scripted:
    """A server that refuses the stream, or takes it and ends it well without a frame."""

    address = "there"
    dropped = 0

    def __init__(self, *, takes: bool) -> None:
        self.takes = takes
        self.info = pb.StreamInfo()

    async def open(self) -> None:
        if not self.takes:
            raise Unavailable("nobody")

    async def write(self, request: pb.StreamRequest) -> None:
        pass

    async def read(self) -> pb.StreamResponse | None:
        await asyncio.sleep(0)
        return None

    async def half_close(self) -> None:
        pass

    def cancel(self) -> None:
        pass

    async def close(self) -> None:
        pass


class Returning(Scripted):
    """It gives frame 0 back, and nothing more."""

    given = False

    async def read(self) -> pb.StreamResponse | None:
        if self.given:
            await asyncio.Event().wait()
        self.given = True
        return steady(0)


async def test_servers_that_refuse_are_none_that_end_the_stream(monkeypatch):
    monkeypatch.setattr("flowgimbal.client.resuming.BACKOFF_SECONDS", (0.0, 0.0))
    takes = Scripted(takes=True)
    servers = [takes, *[Scripted(takes=False)] * (2 * ENDINGS), takes, Returning(takes=True)]
    road = Resuming(lambda _, attempt: servers[attempt], pb.StreamConfig(mode=pb.MODE_LOSSLESS))
    await road.open()
    await road.write(frame(0))
    assert (await road.read()).frame.frame.frame_id == 0
    await road.close()


async def test_servers_that_end_the_stream_again_and_again_are_told_of(monkeypatch):
    monkeypatch.setattr("flowgimbal.client.resuming.BACKOFF_SECONDS", (0.0, 0.0))
    road = Resuming(lambda *_: Scripted(takes=True), pb.StreamConfig(mode=pb.MODE_LOSSLESS))
    await road.open()
    await road.write(frame(0))
    with pytest.raises(ServerFault, match="all but 1 frames"):
        await road.read()
    await road.close()


async def test_a_sender_that_waits_for_room_hears_of_the_end():
    road = Resuming(lambda *_: Scripted(takes=True), pb.StreamConfig(mode=pb.MODE_LOSSLESS))
    await road.open()

    async def sending() -> None:
        for number in range(100):
            await road.write(frame(number))

    sender = asyncio.ensure_future(sending())
    await asyncio.sleep(0.01)
    assert not sender.done()
    await road.close()
    async with asyncio.timeout(10):
        with pytest.raises(StreamClosed):
            await sender
