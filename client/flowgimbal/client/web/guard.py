"""Who may use the page: browsers that were shown it by this very address, and no other site's pages."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:;"
    " connect-src 'self'; media-src 'self' blob:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


def guard(own_host: str) -> Middleware:
    """Middleware. ``own_host`` is the name that the page listens on.

    A name that somebody else made to point here (DNS rebinding) is refused, and so is a request that another site's
    page sends: the browser names that site as its origin.
    """

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not _is_ours(request.host, own_host):
            raise web.HTTPForbidden(text=f"{request.host}: this page is not served under that name; use its IP address")
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            raise web.HTTPForbidden(text=f"requests from pages of {origin} are refused")
        return await handler(request)

    return guarded


async def add_headers(_: web.Request, response: web.StreamResponse) -> None:
    """What tells the browser to load nothing from elsewhere."""
    response.headers.update(HEADERS)


def _is_ours(host: str, own_host: str) -> bool:
    name = (urlsplit(f"//{host}").hostname or "").lower()
    if name in ("localhost", own_host.lower()):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
