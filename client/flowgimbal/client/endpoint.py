"""Where a service is, and how a client makes itself known there."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import grpc

DEFAULT_ADDRESS = "127.0.0.1:50051"


class Pem(NamedTuple):
    """What the files of a Tls hold, None for those that it does not name."""

    ca: bytes | None = None
    certificate: bytes | None = None
    key: bytes | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        """For gRPC."""
        return grpc.ssl_channel_credentials(self.ca, self.key, self.certificate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """A connection that nobody listens in on. All are PEM files.

    ``ca``: the authorities that a server's certificate must come from, those of the system if it is empty;
    ``certificate`` and ``key``: what a server with mutual TLS wants to see; ``name``: who the server must be, if not
    the host of its address.
    """

    ca: str = ""
    certificate: str = ""
    key: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        if bool(self.certificate) != bool(self.key):
            raise ValueError("tls_key: a certificate and its key go together; give both or neither")

    def read(self) -> Pem:
        """The files' contents as they are now; ValueError, naming the file, if one cannot be read."""
        return Pem(*(_content(path) for path in (self.ca, self.certificate, self.key)))


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One service: one address (HOST:PORT or unix:PATH) or several that do the same, tried in turn.

    ``token`` is shown with each call, or what it returns then, if it is a function. It is sent over TLS, to unix
    sockets and to this machine; elsewhere only if ``insecure``.
    """

    addresses: Sequence[str] = (DEFAULT_ADDRESS,)
    tls: Tls | None = None
    token: str | Callable[[], str] = field(default="", repr=False)
    insecure: bool = False

    def __post_init__(self) -> None:
        if not self.addresses or not all(self.addresses):
            raise ValueError("server: an address is needed, HOST:PORT or unix:PATH")
        if self.token and self.tls is None and not self.insecure:
            for address in self.addresses:
                if not _is_local(address):
                    message = f"token: it would go to {address} for everybody to read; use TLS, or say insecure"
                    raise ValueError(message)

    def pem(self, address: str) -> Pem | None:
        """For ``address``, as the files are now; None where it is spoken to in the clear, as every unix socket is."""
        return None if self.tls is None or address.startswith("unix:") else self.tls.read()

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What a call shows."""
        token = self.token() if callable(self.token) else self.token
        return (("authorization", f"Bearer {token}"),) if token else ()


def token_file(path: str) -> Callable[[], str]:
    """A token that stands in a file, which is read at each call; ValueError then if it cannot be."""

    def read() -> str:
        token = (_content(path) or b"").decode("utf-8", "replace").strip()
        if not token.isascii() or not token.isprintable():
            raise ValueError(f"{path}: not a token")
        return token

    return read


def _content(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes() if path else None
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error


def _is_local(address: str) -> bool:
    if address.startswith("unix:"):
        return True
    host = address.rpartition(":")[0].removeprefix("[").removesuffix("]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
