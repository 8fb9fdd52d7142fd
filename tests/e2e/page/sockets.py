"""What a browser does with a page, done without one: its sockets are watched, its token is shown."""

from __future__ import annotations

import asyncio
import json
import struct
from contextlib import asynccontextmanager

import aiohttp

PATIENCE = 60
TOKEN = "the-token-of-the-page"


def url_in(program) -> str:
    """Of the page of ``flowgimbal live``, which said so."""
    return next(line.rpartition(" ")[2] for line in program.said if "the page: " in line)


async def listed(session: aiohttp.ClientSession, url: str) -> list[dict]:
    async with session.get(url + "streams") as answer:
        return await answer.json()


async def streams_once(session: aiohttp.ClientSession, url: str, count: int) -> list[dict]:
    """The list of streams as soon as it has ``count``."""
    async with asyncio.timeout(PATIENCE):
        while len(streams := await listed(session, url)) != count:  # noqa: ASYNC110 - another process lists them
            await asyncio.sleep(0.1)
    return streams


async def first_stream(session: aiohttp.ClientSession, url: str) -> str:
    (stream,) = await streams_once(session, url, 1)
    return stream["stream_id"]


@asynccontextmanager
async def watching(url: str, **query: object):
    """A session, the stream's id, and the socket of one who watches it."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(PATIENCE):
        stream_id = await first_stream(session, url)
        async with session.ws_connect(f"{url}watch/{stream_id}", params=query) as socket:
            yield session, stream_id, socket


async def sights(socket, count: int):
    """The next ``count`` pictures, each said to be seen; what else is said in between is left out."""
    while count:
        message = await socket.receive()
        assert message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT), message
        if message.type is aiohttp.WSMsgType.BINARY:
            await socket.send_json({"seen": 1})
            count -= 1
            yield unpacked(message.data)


async def answer(socket) -> dict:
    """The next thing said that is no picture."""
    while True:
        message = await socket.receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            return json.loads(message.data)
        assert message.type is aiohttp.WSMsgType.BINARY, message
        await socket.send_json({"seen": 1})


def unpacked(message: bytes) -> tuple[dict, bytes, bytes]:
    (length,) = struct.unpack_from(">I", message)
    head = json.loads(message[4 : 4 + length])
    start = 4 + length
    return head, message[start : start + head["raw_bytes"]], message[start + head["raw_bytes"] :]
