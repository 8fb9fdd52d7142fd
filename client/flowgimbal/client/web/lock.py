"""Opens the page for who knows its token: asked for once by a form, then remembered by a cookie."""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections import deque

from aiohttp import web
from aiohttp.typedefs import Handler

COOKIE = "flowgimbal"
LOGIN = "/login"
_FREE = frozenset({LOGIN, "/page.css", "/icon.svg"})
SESSIONS = 64
"""Browsers that are remembered; one more, and the first has to ask again."""
PAUSE_SECONDS = 0.5
"""Before a wrong token is answered, one after the other: who waits for the answers does not guess fast."""
_BEARER = "bearer "


class Lock:
    """Belongs to one page. The token is shown by the form, or as `Authorization: Bearer` by programs."""

    def __init__(self, token: str, form: str, *, secure: bool) -> None:
        """``form`` is the page that asks; ``secure``: the cookie goes over TLS alone."""
        self._token = token.encode()
        self._form = form
        self._secure = secure
        self._sessions: deque[str] = deque(maxlen=SESSIONS)
        self._guess = asyncio.Lock()

    @web.middleware
    async def keep(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """As middleware: let in who may come, show others the form."""
        if request.path in _FREE or self._knows(request):
            return await handler(request)
        if _bearer(request):
            await self._wrong()
        if request.path == "/":
            raise web.HTTPSeeOther(LOGIN)
        raise web.HTTPUnauthorized(text="this page wants a token: open / and give it there")

    async def ask(self, _: web.Request) -> web.Response:
        """The form."""
        return self._asking()

    async def answer(self, request: web.Request) -> web.Response:
        """The form came back."""
        shown = (await request.post()).get("token", "")
        if not isinstance(shown, str) or not self._fits(shown.strip()):
            await self._wrong()
            return self._asking(status=401)
        session = secrets.token_urlsafe(32)
        self._sessions.append(session)
        response = web.Response(status=303, headers={"Location": "/"})
        response.set_cookie(COOKIE, session, httponly=True, samesite="Strict", secure=self._secure)
        return response

    def _asking(self, status: int = 200) -> web.Response:
        said = "That is not the token." if status == 401 else ""
        return web.Response(text=self._form.replace("{said}", said), content_type="text/html", status=status)

    def _knows(self, request: web.Request) -> bool:
        if self._fits(_bearer(request)):
            return True
        session = _bytes(request.cookies.get(COOKIE, ""))
        return any(hmac.compare_digest(session, known.encode()) for known in tuple(self._sessions))

    def _fits(self, shown: str) -> bool:
        return hmac.compare_digest(_bytes(shown), self._token)

    async def _wrong(self) -> None:
        async with self._guess:
            await asyncio.sleep(PAUSE_SECONDS)


def _bytes(shown: str) -> bytes:
    return shown.encode("utf-8", "surrogateescape")  # as aiohttp read it: a browser may send what is no text


def _bearer(request: web.Request) -> str:
    """The token that a program shows; empty: none."""
    shown = request.headers.get("Authorization", "")
    return shown[len(_BEARER) :].strip() if shown.lower().startswith(_BEARER) else ""
