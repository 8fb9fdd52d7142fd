"""Binds a server to its addresses, and tells plainly why that fails."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable
from pathlib import Path

import grpc
import grpc.aio

from flowgimbal.server.errors import StartupError

UNIX = "unix:"


def bind(server: grpc.aio.Server, address: str, credentials: grpc.ServerCredentials | None = None) -> str:
    """Listen on HOST:PORT or unix:PATH; the address with the port in force. Raises StartupError.

    With ``credentials`` HOST:PORT speaks TLS; who may open a unix socket, the file system says.
    """
    if address.startswith(UNIX) and _answers(address.removeprefix(UNIX)):
        raise StartupError(f"listen: {address} is in use by a running server; stop it or choose another path")
    try:
        if credentials is None or address.startswith(UNIX):
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise StartupError(
            f"listen: cannot bind {address}; is the port in use, or the host not this machine's?"
        ) from error
    return address if address.startswith(UNIX) else f"{address.rpartition(':')[0]}:{port}"


def forget(addresses: Iterable[str]) -> None:
    """Remove the sockets that ``bind`` left in the file system."""
    for address in addresses:
        if address.startswith(UNIX):
            with contextlib.suppress(OSError):
                Path(address.removeprefix(UNIX)).unlink(missing_ok=True)


def _answers(path: str) -> bool:
    # gRPC takes a socket's file away from whoever listens there.
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True
