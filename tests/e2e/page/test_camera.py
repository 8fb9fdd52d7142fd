"""The camera of a browser, over the page's sockets."""

from __future__ import annotations

import asyncio
import struct

import aiohttp
import cv2
import numpy as np
import pytest
from e2e.page.sockets import PATIENCE, listed, sights, streams_once


async def test_a_camera_is_a_stream_like_others(serve):
    url, _ = serve()
    picture = cv2.imencode(".jpg", np.full((120, 160, 3), 90, np.uint8))[1].tobytes()
    async with aiohttp.ClientSession() as session, asyncio.timeout(PATIENCE):
        async with session.ws_connect(url + "camera") as camera:
            await camera.send_json({"smoothing_strength": 0.5})
            stream_id = (await camera.receive_json())["stream_id"]
            assert [(one["stream_id"], one["label"]) for one in await listed(session, url)] == [
                (stream_id, "camera of a browser")
            ]

            async def film() -> None:
                for number in range(10_000):
                    await camera.send_bytes(struct.pack(">d", number * 33.3) + picture)
                    await asyncio.sleep(0.03)

            filming = asyncio.ensure_future(film())
            async with session.ws_connect(f"{url}watch/{stream_id}") as socket:
                async for head, _, _ in sights(socket, 5):
                    assert (head["width"], head["height"]) == (160, 120)
                    assert head["info"]["settings"]["smoothing_strength"] == 0.5
            filming.cancel()
        await streams_once(session, url, 0)  # the stream goes with the browser


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("{", b""),
        ('{"smoothing_strength": 9}', b""),
        ("[]", b""),
        ("{}", b"short"),
        ("{}", None),
    ],
)
async def test_a_camera_that_sends_rubbish_is_told(serve, first, then):
    url, _ = serve()
    async with aiohttp.ClientSession() as session, asyncio.timeout(PATIENCE):
        async with session.ws_connect(url + "camera") as camera:
            await camera.send_str(first)
            told = await camera.receive_json()
            if "stream_id" in told and then is not None:
                await camera.send_bytes(then)
                told = await camera.receive_json()
            assert told.get("error") or then is None
        await streams_once(session, url, 0)
