"""Who watches a stream over the page's sockets sees it, and may tune it."""

from __future__ import annotations

import asyncio

import aiohttp
import cv2
import numpy as np
import pytest
from e2e.page.sockets import PATIENCE, answer, listed, sights, watching

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
