"""The page's lock, alone, before a server of aiohttp's."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from flowgimbal.client.cli.web import Page
from flowgimbal.client.web import lock as locks
from flowgimbal.client.web.lock import Lock

TOKEN = "the-token-of-the-page"


@asynccontextmanager
async def page(lock: Lock):
    """Asks a page behind ``lock`` for /streams, with a header, and returns the status."""

    async def streams(_: web.Request) -> web.Response:
        return web.Response(text="[]")

    app = web.Application(middlewares=[lock.keep])
    app.router.add_get("/streams", streams)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()

    async def ask(header: bytes = b"") -> int:
        reader, writer = await asyncio.open_connection(*runner.addresses[0])
        writer.write(b"GET /streams HTTP/1.1\r\nHost: page\r\nConnection: close\r\n" + header + b"\r\n")
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return int(answer.split()[1])

    try:
        yield ask
    finally:
        await runner.cleanup()


def bearer(token: bytes) -> bytes:
    return b"Authorization: Bearer " + token + b"\r\n"


async def test_wrong_tokens_of_programs_wait_their_turn():
    lock = Lock(TOKEN, "", secure=False)
    async with page(lock) as ask:
        async with lock._guess:  # another wrong one is waiting
            wrong = [asyncio.ensure_future(ask(bearer(token))) for token in (b"wrong", b"the-token-of-the-pagf")]
            for _ in range(20):  # neither the right one nor who shows none waits behind them
                assert [await ask(bearer(TOKEN.encode())), await ask()] == [200, 401]
            assert not any(task.done() for task in wrong)
        assert await asyncio.gather(*wrong) == [401, 401]


async def test_a_token_that_is_no_text_is_a_wrong_one(monkeypatch):
    monkeypatch.setattr(locks, "PAUSE_SECONDS", 0)
    async with page(Lock(TOKEN, "", secure=False)) as ask:
        for header in (bearer(b"\xff\xfe"), bearer("t\u00f6ken".encode()), b"Cookie: flowgimbal=\xff\r\n"):
            assert await ask(header) == 401, header


@pytest.mark.parametrize("token", ["fifteen-letters", "sixteen letters!", "sixteen-l\u00e9tters!", ""])
def test_a_token_of_the_page_that_can_be_guessed_is_refused(tmp_path, token):
    file = tmp_path / "token"
    file.write_text(f"{token}\n")
    wrong = "not 16 or more printable ASCII characters without blanks"
    with pytest.raises(ValueError, match=f"^web_token_file: {file}: {wrong}$"):
        Page(web="127.0.0.1:0", web_token_file=str(file)).door()
    if token:
        with pytest.raises(ValueError, match=f"^web_token: {wrong}$"):
            Page(web="127.0.0.1:0", web_token=token).door()


def test_a_token_of_the_page_that_is_long_enough_is_taken(tmp_path):
    file = tmp_path / "token"
    file.write_text("sixteen-letters!\n")
    assert Page(web="127.0.0.1:0", web_token_file=str(file)).door().token == "sixteen-letters!"
    assert Page(web="127.0.0.1:0", web_token="sixteen-letters!").door().token == "sixteen-letters!"
    assert Page(web="127.0.0.1:0").door().token == ""
