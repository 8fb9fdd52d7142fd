"""The page's server: its files, the list of streams, and a socket for each browser that watches or lends its camera."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib.resources import files

from aiohttp import web
from aiohttp.typedefs import Handler

from flowgimbal.client.client import Client
from flowgimbal.client.endpoint import Endpoint
from flowgimbal.client.web import assets
from flowgimbal.client.web.board import Board, Listed, find
from flowgimbal.client.web.camera import Cameras
from flowgimbal.client.web.door import Door
from flowgimbal.client.web.guard import add_headers, guard
from flowgimbal.client.web.lock import LOGIN, Lock
from flowgimbal.client.web.watch import Watcher

TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
CLOSE_SECONDS = 1.0
WIDTHS = (16, 1920)


@asynccontextmanager
async def page(door: Door, board: Board, server: str | Endpoint) -> AsyncIterator[str]:
    """Serve the page at ``door`` while the block runs; yields its URL.

    It shows the streams of ``board``; cameras of browsers go to ``server``. Raises OSError if it
    cannot listen there.
    """
    async with Client(server) as client:
        runner = web.AppRunner(_app(door, board, Cameras(client)), access_log=None, shutdown_timeout=CLOSE_SECONDS)
        await runner.setup()
        try:
            site = web.TCPSite(runner, door.host, door.port, ssl_context=door.tls())
            await site.start()
            _, bound, *_ = runner.addresses[0]
            name = f"[{door.host}]" if ":" in door.host else door.host
            yield f"{door.scheme}://{name}:{bound}/"
        finally:
            await runner.cleanup()


def _app(door: Door, board: Board, cameras: Cameras) -> web.Application:
    def everything() -> list[Listed]:
        """Cameras are streams of the server's, too: listed once, by the name that the page gave them."""
        found = {listed.stream_id: listed for listed in board()}
        found |= {
            listed.stream_id: replace(found.get(listed.stream_id, listed), label=listed.label)
            for listed in cameras.listed()
        }
        return list(found.values())

    async def listing(_: web.Request) -> web.Response:
        return web.json_response([listed.described() for listed in everything()])

    async def watch(request: web.Request) -> web.StreamResponse:
        listed = find(everything, request.match_info["stream_id"])
        if listed is None:
            raise web.HTTPNotFound(text="no such stream runs here; it may have ended")
        try:
            width = int(request.query.get("width", "640"))
        except ValueError:
            width = 0
        if not WIDTHS[0] <= width <= WIDTHS[1]:
            raise web.HTTPBadRequest(text=f"width: a number of pixels within {WIDTHS} is wanted")
        return await Watcher(listed, width).run(request)

    content = {file.name: file.read_bytes() for file in files(assets).iterdir()}
    app = web.Application(middlewares=[guard(door.host)])
    if door.token:
        lock = Lock(door.token, content["login.html"].decode(), secure=door.scheme == "https")
        app.middlewares.append(lock.keep)
        app.router.add_get(LOGIN, lock.ask)
        app.router.add_post(LOGIN, lock.answer)
    app.on_response_prepare.append(add_headers)
    app.router.add_get("/streams", listing)
    app.router.add_get("/watch/{stream_id}", watch)
    app.router.add_get("/camera", cameras.serve)
    for name, data in content.items():
        kind = TYPES.get("." + name.rpartition(".")[2])
        if kind and name != "login.html":
            app.router.add_get("/" if name == "index.html" else f"/{name}", _file(data, kind))
    return app


def _file(content: bytes, kind: str) -> Handler:
    async def serve(_: web.Request) -> web.Response:
        return web.Response(body=content, content_type=kind, charset="utf-8")

    return serve
