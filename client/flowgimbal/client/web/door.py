"""Where the page is served, in the clear or over TLS, and the token that opens it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Door:
    """``certificate`` and ``key`` are PEM files, empty for http; without a ``token`` the page is open to who comes."""

    host: str
    port: int
    certificate: str = ""
    key: str = ""
    token: str = field(default="", repr=False)

    @property
    def scheme(self) -> str:
        """http or https."""
        return "https" if self.certificate else "http"

    def tls(self) -> ssl.SSLContext | None:
        """For the listener; raises OSError if the files are no certificate and its key.

        They are read again when they change: whoever connects then is shown the new ones.
        """
        if not self.certificate:
            return None
        seen, newest = self._stamps(), self._context()

        def choose(socket: ssl.SSLObject | ssl.SSLSocket, _: str | None, __: object) -> None:
            nonlocal seen, newest
            try:
                if (now := self._stamps()) != seen:
                    newest, seen = self._context(), now
            except OSError:  # half replaced: the next one sees the whole
                pass
            socket.context = newest

        context = self._context()
        context.set_servername_callback(choose)
        return context

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context

    def _stamps(self) -> list[tuple[int, int]]:
        status = [Path(path).stat() for path in (self.certificate, self.key)]
        return [(one.st_mtime_ns, one.st_ino) for one in status]
