"""HTTP/2 by hand, as far as it takes to misbehave (RFC 9113, RFC 7541)."""

from __future__ import annotations

import asyncio
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, CONTINUATION = 0, 1, 3, 4, 6, 9
END_STREAM, END_HEADERS = 1, 4
MAX_FRAME = 16_384
STREAM = "/flowgimbal.v1.StabilizerService/Stream"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One HTTP/2 frame."""
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


DEAF = PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0))
"""The greeting of a client that takes no byte of any message (SETTINGS_INITIAL_WINDOW_SIZE)."""


def call(stream: int, path: str = STREAM, **more: str) -> bytes:
    """The headers that begin a gRPC call; ``more`` headers have underscores for dashes."""
    fields = {":method": "POST", ":scheme": "http", ":path": path, ":authority": "x", "te": "trailers"}
    fields |= {"content-type": "application/grpc"} | {name.replace("_", "-"): value for name, value in more.items()}
    block = b"".join(b"\0" + _string(name) + _string(value) for name, value in fields.items())
    parts = [block[at : at + MAX_FRAME] for at in range(0, len(block), MAX_FRAME)]
    return b"".join(
        frame(CONTINUATION if number else HEADERS, END_HEADERS if part is parts[-1] else 0, stream, part)
        for number, part in enumerate(parts)
    )


def message(data: bytes, announced: int | None = None, *, compressed: bool = False) -> bytes:
    """A gRPC message, which may announce another length than it has."""
    return bytes((compressed,)) + struct.pack(">I", len(data) if announced is None else announced) + data


def data(stream: int, payload: bytes) -> bytes:
    """``payload`` as DATA frames."""
    parts = (payload[at : at + MAX_FRAME] for at in range(0, len(payload), MAX_FRAME))
    return b"".join(frame(DATA, 0, stream, part) for part in parts)


def _string(text: str) -> bytes:
    length = len(text)
    if length < 127:
        return bytes((length,)) + text.encode()
    head, rest = bytearray((127,)), length - 127
    while rest >= 128:
        head.append(rest % 128 + 128)
        rest //= 128
    return bytes((*head, rest)) + text.encode()


class Connection:
    """A connection that has greeted; what the server says is kept, and nothing is made of it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.heard = bytearray()
        self._listening = asyncio.ensure_future(self._listen(reader))

    @classmethod
    async def open(cls, address: str, greeting: bytes = PREFACE + frame(SETTINGS, 0, 0)) -> Connection:
        """Connect to HOST:PORT, or unix:PATH, and say ``greeting``."""
        host, _, port = address.rpartition(":")
        opening = asyncio.open_unix_connection(port) if host == "unix" else asyncio.open_connection(host, int(port))
        connection = cls(*await opening)
        await connection.say(greeting)
        return connection

    async def say(self, some: bytes) -> None:
        """Send bytes; raises OSError if the server has hung up."""
        self._writer.write(some)
        await self._writer.drain()

    @property
    def closed(self) -> bool:
        """Whether the server hung up."""
        return self._listening.done()

    def close(self) -> None:
        """Hang up."""
        self._listening.cancel()
        self._writer.close()

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            while some := await reader.read(65536):
                self.heard += some[: max(0, 65536 - len(self.heard))]
        except OSError:
            pass
