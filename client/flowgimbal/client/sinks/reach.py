"""What waits for the other side of a sink in Python. FFmpeg's own waiting would hold up every thread of the process."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import IO
from urllib.parse import SplitResult, urlsplit

from flowgimbal.client.sinks import srt

ANSWER_SECONDS = 3.0
_PORTS = {"rtsp": 554, "rtmp": 1935}


def reach(url: str) -> None:
    """Raise OSError unless a server at ``url`` answers, or the name in it is known where nobody has to."""
    parts, port = _split(url)
    if not parts.hostname:
        return
    if parts.scheme == "srt":
        if not port:
            raise OSError("write srt://HOST:PORT")
        srt.greet(parts.hostname, port, ANSWER_SECONDS)
        return
    if parts.scheme not in _PORTS:
        socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_DGRAM)
        return
    where = parts.hostname, port or _PORTS[parts.scheme]
    with socket.create_connection(where, ANSWER_SECONDS) as connection:
        if parts.scheme == "rtsp":
            asked = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
            connection.sendall(f"OPTIONS {asked} RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode())
            if not connection.recv(1):
                raise OSError("it hangs up")


def opened(url: str) -> IO[bytes] | None:
    """A connection (``tcp://``) or a named pipe to write to, as soon as somebody is there; None for what is neither."""
    parts, port = _split(url)
    if parts.scheme == "tcp":
        if not parts.hostname or not port:
            raise OSError("write tcp://HOST:PORT")
        with socket.create_connection((parts.hostname, port), ANSWER_SECONDS) as connection:
            return connection.makefile("wb")  # keeps it open
    path = Path(url)
    return path.open("wb") if "://" not in url and path.is_fifo() else None


def _split(url: str) -> tuple[SplitResult, int | None]:
    """The parts of ``url``, and its port; OSError where what stands for the port is none, and may be of a password."""
    parts = urlsplit(url)
    try:
        return parts, parts.port
    except ValueError:
        raise OSError("its port is no number; in a password write %2F for /, %3F for ?, %23 for #") from None
