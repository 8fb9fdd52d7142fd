"""Who watches a stream over the page's sockets sees it, and may tune it."""

from __future__ import annotations

import asyncio
import signal

import aiohttp
import cv2
import numpy as np
import pytest
from e2e.command import COMMAND
from e2e.page.sockets import PATIENCE, answer, listed, sights, url_in, watching
from e2e.ports import free_port

from flowgimbal.client import Client, Frame


def size(jpeg: bytes) -> tuple[int, int]:
    height, width = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape[:2]
    return width, height


async def test_pictures_come_as_they_are_taken(live):
    async with watching(live(), width=320) as (_, stream_id, socket):
        heads = []
        async for head, raw, steady in sights(socket, 10):
            assert size(raw) == size(steady) == (320, 180)
            heads.append(head)
        assert heads[0]["info"]["stream_id"] == stream_id
        ids = [head["frame_id"] for head in heads]
        assert ids == sorted(set(ids))
        assert any(head["motion"] for head in heads)
        assert (heads[0]["width"], heads[0]["height"]) == (640, 360)


async def test_who_sees_nothing_is_sent_no_more(live):
    async with watching(live(), width=320) as (_, __, socket):
        for _ in range(2):
            assert (await socket.receive()).type is aiohttp.WSMsgType.BINARY
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.receive(), 1)


async def test_settings_change_and_refusals_change_nothing(live):
    async with watching(live()) as (_, __, socket):
        wished = {"smoothing_strength": 0.3, "look_ahead_frames": 4, "max_crop_ratio": 0.2, "pins": [[1, 2, 30, 40]]}
        await socket.send_json({"tune": wished})
        assert wished.items() <= (await answer(socket))["info"]["settings"].items()
        for wrong in (
            {"smoothing_strength": 3},
            {"smoothing_strength": "much"},
            {"look_ahead_frames": 1e99},
            {"pins": [[1, 2]]},
            {"pins": "all"},
            {"crop_policy": "wild"},
            {"mode": "lossless"},
            [],
        ):
            await socket.send_json({"tune": wrong})
            assert (await answer(socket))["error"], wrong
        await socket.send_str("{")
        assert (await answer(socket))["error"]
        head, _, _ = [sight async for sight in sights(socket, 12)][-1]
        assert wished.items() <= head["info"]["settings"].items()
        assert head["info"]["latency_frames"] == 4


async def test_a_stream_that_went_on_at_another_server_is_watched_there(run):
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    servers = [run(*COMMAND, "serve", "--listen", address, "--engine", "identity") for address in addresses]
    for server in servers:
        server.wait_for("serving")
    where = ("--server", ",".join(addresses), "--web", "127.0.0.1:0")
    program = run(*COMMAND, "live", "--source", "test:", *where)
    program.wait_for(f" on {addresses[0]} ")
    url = url_in(program)
    servers[0].end(signal.SIGKILL)
    program.wait_for("the server is back")
    async with aiohttp.ClientSession() as session, asyncio.timeout(PATIENCE):
        (before,) = await listed(session, url)
        while (await listed(session, url))[0]["returned"] <= before["returned"]:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)
    async with watching(url) as (_, stream_id, socket):
        async for head, _, _ in sights(socket, 3):
            assert head["info"]["stream_id"] == stream_id
        await socket.send_json({"tune": {"smoothing_strength": 0.3}})
        assert (await answer(socket))["info"]["settings"]["smoothing_strength"] == 0.3


async def test_a_client_watches_at_its_own_addresses_alone():
    async with Client("127.0.0.1:1", token="a-token-for-that-one") as client:
        with pytest.raises(ValueError, match="none of this client's"):
            await anext(client.watch("any", address="192.0.2.1:50051"))
        with pytest.raises(ValueError, match="none of this client's"):
            await client.tune("any", address="192.0.2.1:50051")


async def test_serve_shows_the_streams_of_its_clients(serve):
    url, address = serve("--engine", "identity")
    async with Client(address) as client, client.stream(output_encoding="jpeg") as stream:  # noqa: SIM117
        async with aiohttp.ClientSession() as session, asyncio.timeout(PATIENCE):
            for number in range(5):
                await stream.exchange(Frame.from_array(np.full((96, 160, 3), number, np.uint8)))
            (one,) = await listed(session, url)
            assert one["stream_id"] == stream.info.stream_id
            assert (one["width"], one["height"], one["received"], one["engine"]) == (160, 96, 5, "identity")
            assert one["returned"] in (4, 5)  # the last one may be counted just after it was read
