"""Where Prometheus reads the numbers: a page, of which each reading is short."""

from __future__ import annotations

import contextlib
import logging
import socket
import socketserver
import threading
import time
from typing import Any

from prometheus_client import CollectorRegistry, MetricsHandler

from flowgimbal.server.config import host_and_port
from flowgimbal.server.errors import StartupError

logger = logging.getLogger(__name__)

CONNECTIONS = 16
"""At a time; each has a thread. For one more the oldest is hung up on."""
SECONDS = 5.0
"""For a connection to ask and to take what it gets."""


class MetricsPage:
    """Serves a registry at HOST:PORT until closed."""

    def __init__(self, registry: CollectorRegistry, listen: str) -> None:
        host, port = host_and_port("metrics_listen", listen)
        try:
            self._server = _Server(registry, host, port)
        except OSError as error:
            raise StartupError(f"metrics_listen: cannot serve on {listen}: {error}; choose a free port") from error
        self.address = f"{host}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, registry: CollectorRegistry, host: str, port: int) -> None:
        found: Any = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        self.address_family = found[0]
        self._since: dict[Any, float] = {}
        super().__init__(found[-1], MetricsHandler.factory(registry))

    def process_request(self, request: Any, client_address: Any) -> None:
        self._since[request] = time.monotonic()
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """Every half second, and after each connection that came."""
        now = time.monotonic()
        for newer, (request, since) in enumerate(reversed(list(self._since.items()))):
            if newer >= CONNECTIONS or now - since > SECONDS:
                with contextlib.suppress(OSError):  # its thread was faster
                    request.shutdown(socket.SHUT_RDWR)

    def shutdown_request(self, request: Any) -> None:
        del self._since[request]
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        logger.debug("a reader of the metrics went away: %s", client_address, exc_info=True)
