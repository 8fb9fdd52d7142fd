"""What SRT asks of a sink: somebody to call, who is known to listen.

The first handshake is made by hand (draft-sharabayko-srt-01, 3.2.1 and 4.3.1): while FFmpeg waits for an answer, or for
a call, all other threads wait with it.
"""

from __future__ import annotations

import socket
import struct
from urllib.parse import parse_qsl, urlsplit

from flowgimbal.client.errors import MediaError
from flowgimbal.client.protocols import speaks, unspoken
from flowgimbal.client.redact import shown

TRIES = 4
_PACKET = struct.Struct(">IIII IHHIIIIII16x")
_HANDSHAKE = 0x80000000  # a control packet of type zero
_VERSION, _INDUCTION = 4, 1
_EXTENSION = 2  # as UDT's datagrams, which SRT grew out of
_MTU, _WINDOW = 1500, 8192


def check(url: str) -> None:
    """Raise MediaError for an address that can never be written to, here."""
    if dict(parse_qsl(urlsplit(url).query)).get("mode", "caller") != "caller":
        raise MediaError(f"{shown(url)}: a sink calls and is not called: leave mode= out")
    if not speaks("srt"):
        raise unspoken(shown(url), "srt")


def greet(host: str, port: int, seconds: float) -> None:
    """Raise OSError unless whoever listens there answers an induction; it is not a connection, and leaves nothing."""
    hello = _PACKET.pack(_HANDSHAKE, 0, 0, 0, _VERSION, 0, _EXTENSION, 0, _MTU, _WINDOW, _INDUCTION, 1, 0)
    family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as caller:
        caller.connect(address)
        for _ in range(TRIES):
            caller.send(hello)
            caller.settimeout(seconds / TRIES)
            try:
                answer = caller.recv(_MTU)
            except TimeoutError:
                continue
            if len(answer) >= _PACKET.size and int.from_bytes(answer[:4]) == _HANDSHAKE:
                return
            raise OSError("what answers is not SRT")
    raise TimeoutError("nobody answers")
