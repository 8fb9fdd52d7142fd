"""Whom the page is shown to, and where it may be served."""

from __future__ import annotations

import json
import ssl

import aiohttp
import pytest
from e2e.command import COMMAND
from e2e.page.sockets import TOKEN, first_stream, streams_once

from flowgimbal.client import Client


async def test_only_the_page_itself_may_use_it(live):
    url = live()
    async with aiohttp.ClientSession() as session:
        stream_id = await first_stream(session, url)
        for path, headers, status in (
            ("", {"Origin": "http://elsewhere.example"}, 403),
            ("streams", {"Origin": "null"}, 403),
            (f"watch/{stream_id}", {"Origin": "http://elsewhere.example"}, 403),
            ("camera", {"Origin": "http://elsewhere.example"}, 403),
            ("", {"Host": "elsewhere.example"}, 403),
            ("streams", {"Host": "elsewhere.example:80"}, 403),
            ("watch/nobody", {}, 404),
            (f"watch/{stream_id}?width=9", {}, 400),
            (f"watch/{stream_id}?width=wide", {}, 400),
            ("assets/", {}, 404),
            ("__init__.py", {}, 404),
            ("../web/site.py", {}, 404),
            ("page.js", {}, 200),
            ("streams", {"Origin": url.rstrip("/")}, 200),
        ):
            async with session.get(url + path, headers=headers) as reply:
                assert reply.status == status, (path, headers)
                if status == 200:
                    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]


def test_a_page_that_cannot_be_served_is_said(run, serve):
    url, _ = serve()
    taken = url.removeprefix("http://").rstrip("/")
    again = run(*COMMAND, "serve", "--listen", "127.0.0.1:0", "--engine", "identity", "--web", taken)
    assert again.exit_code() == 3
    assert again.count(f"web: cannot serve the page at {taken}") == 1
    live = run(*COMMAND, "live", "--source", "test:", "--web", taken)
    assert live.exit_code() == 2
    assert live.count(f"web: cannot serve the page at {taken}") == 1
    for wrong in (("--web", "nowhere"), ("--web", "127.0.0.1:0", "--processes", "2")):
        refused = run(*COMMAND, "serve", *wrong)
        assert refused.exit_code() == 2
        assert refused.count("web: ") == 1


async def test_a_page_with_a_token_opens_for_who_knows_it(locked):
    url, authority = locked
    context = ssl.create_default_context()
    authority.configure_trust(context)
    assert url.startswith("https://")
    jar = aiohttp.CookieJar(unsafe=True)  # of an IP address
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context), cookie_jar=jar) as session:

        async def status(path: str, **options: object) -> int:
            async with session.get(url + path, allow_redirects=False, **options) as answer:
                return answer.status

        assert [await status(path) for path in ("", "page.js", "streams", "camera", "watch/x")] == [303, *[401] * 4]
        assert [await status(path) for path in ("login", "page.css")] == [200, 200]
        assert await status("streams", headers={"Authorization": f"Bearer {TOKEN}"}) == 200
        assert await status("streams", headers={"Authorization": "Bearer no"}) == 401
        assert await status("streams", cookies={"flowgimbal": "guessed"}) == 401
        async with session.post(url + "login", data={"token": "wrong"}) as answer:
            assert (answer.status, "That is not the token" in await answer.text()) == (401, True)
        async with session.post(url + "login", data={"token": TOKEN}, headers={"Origin": "https://evil"}) as answer:
            assert answer.status == 403
        async with session.post(url + "login", data={"token": TOKEN}, allow_redirects=False) as answer:
            cookie = answer.headers["Set-Cookie"]
            assert answer.status == 303
        assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict", "Secure"))
        assert [await status(path) for path in ("", "page.js", "streams")] == [200] * 3


async def test_a_page_before_a_server_with_tokens(run, tmp_path):
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(f'[camera]\ntoken = "{TOKEN}"\n')
    flags = ("--listen", "127.0.0.1:0", "--web", "127.0.0.1:0", "--log-format", "json", "--tokens-file", tokens)
    program = run(*COMMAND, "serve", *flags)
    program.wait_for("the page is served")
    said = [json.loads(line) for line in program.said]
    url = next(line["url"] for line in said if "url" in line)
    address = next(line["addresses"] for line in said if "addresses" in line)
    async with Client(address, token=TOKEN) as client, client.stream(), aiohttp.ClientSession() as session:
        assert len(await streams_once(session, url, 1)) == 1


@pytest.mark.parametrize(("command", "code"), [("serve", 3), ("live", 2)])
def test_a_page_whose_token_can_be_guessed_does_not_start(flowgimbal, tmp_path, command, code):
    (tmp_path / "token").write_text("guess-me\n")
    flags = ["--source", "test:", "--engine", "identity"] if command == "live" else ["--engine", "identity"]
    refused = flowgimbal(command, *flags, "--web", "127.0.0.1:0", "--web-token-file", "token")
    assert refused.returncode == code
    assert "web_token_file: token: not 16 or more printable ASCII characters" in refused.stderr
    assert "guess-me" not in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("command", ["serve", "live"])
def test_a_page_that_others_reach_wants_https_and_a_token(flowgimbal, command):
    flags = ["--source", "test:"] if command == "live" else []
    refused = flowgimbal(command, *flags, "--web", "0.0.0.0:0")
    assert refused.returncode == 2
    assert "web: others reach 0.0.0.0:0: it needs TLS" in refused.stderr
    assert "a token (web_token_file)" in refused.stderr
