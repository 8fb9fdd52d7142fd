"""The server's certificates, read again when their files change: connections that stand are not touched."""

from __future__ import annotations

import logging
import ssl
import threading
from pathlib import Path

import grpc

from flowgimbal.server.config import ServeConfig
from flowgimbal.server.errors import StartupError

logger = logging.getLogger(__name__)


class Certificates:
    """The files of ``config``. ``fetch`` runs in gRPC's threads, before each handshake."""

    def __init__(self, config: ServeConfig) -> None:
        self._paths = [Path(path) for path in (config.tls_key, config.tls_certificate, config.tls_client_ca) if path]
        self._complaint = ""
        self._reading = threading.Lock()
        try:
            self._contents = self._read()
            _check(self._paths)
        except (OSError, ValueError) as error:
            raise StartupError(f"tls_certificate: {_why(error)}") from None

    def credentials(self) -> grpc.ServerCredentials:
        """For the ports that speak TLS; clients must show a certificate if their authorities were given."""
        mutual = len(self._paths) > 2
        first = _configuration(self._contents)
        return grpc.dynamic_ssl_server_credentials(first, self.fetch, mutual)  # type: ignore[arg-type]  # None may come

    def fetch(self) -> grpc.ServerCertificateConfiguration | None:
        """The certificates if they are others now, else None. Files that do not fit together change nothing.

        gRPC takes whatever comes for new and prepares its TLS anew, under other handshakes that are under way: these
        then fail, and may take the process with them.
        """
        with self._reading:
            try:
                contents = self._read()
                changed = contents != self._contents
                if changed:
                    _check(self._paths)
                    changed = self._read() == contents  # not between two copies
                self._complaint = ""
            except (OSError, ValueError) as error:
                if self._complaint != (why := _why(error)):
                    logger.error("the certificates stay as they were: %s", why)
                self._complaint, changed = why, False
            if not changed:
                return None
            self._contents = contents
        logger.info("the certificates were read again")
        return _configuration(contents)

    def _read(self) -> list[bytes]:
        return [path.read_bytes() for path in self._paths]


def _check(paths: list[Path]) -> None:
    """Raise ValueError or OSError unless key, certificate and authorities fit: gRPC's own error says nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    key, certificate, *authorities = paths
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        raise ValueError(f"{certificate} and {key} are not a certificate and its key: {error.reason}") from None
    for path in authorities:
        try:
            context.load_verify_locations(path)
        except ssl.SSLError as error:
            raise ValueError(f"{path}: no certificates in it: {error.reason}") from None


def _no_password() -> str:
    raise ValueError("the key is locked by a password; give one that is not")


def _configuration(contents: list[bytes]) -> grpc.ServerCertificateConfiguration:
    key, certificate, *authorities = contents
    return grpc.ssl_server_certificate_configuration([(key, certificate)], b"".join(authorities) or None)


def _why(error: Exception) -> str:
    return f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
