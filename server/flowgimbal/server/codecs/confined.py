"""Decoders in processes that may die: ``python -m flowgimbal.server.codecs.confined FD``, run by ``apart``.

FD is a socket. Each message on it brings two descriptors, of a connection and of shared memory, and says what is to be
decoded; a child is forked to serve them. What the decoders need is loaded once, before the first fork. A child may
use a bounded amount of memory and of time, opens no files, and gains no rights. Everything ends with the socket.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import mmap
import os
import resource
import signal
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flowgimbal.server import process
from flowgimbal.server.codecs.answer import CHANNELS, written
from flowgimbal.server.codecs.codec import MAX_REORDERED, Decoded, RawFrame
from flowgimbal.server.codecs.table import CODECS
from flowgimbal.server.errors import Undecodable
from flowgimbal.v1 import stabilizer_pb2 as pb

DECODE, FLUSH, LOST = b"D", b"F", b"L"
PICTURE, TAKEN, DONE, REFUSED = b"P", b"+", b"E", b"X"
FRAME_ID = struct.Struct("<Q")
DECODE_SECONDS = 10
"""For one frame; the process ends if it takes longer."""
BESIDE_BYTES = 512 << 20
"""Memory that a child may take for all that is no picture."""
_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 4, 38


def order(encoding: pb.Encoding, max_pixels: int) -> bytes:
    """The message that asks for a decoder."""
    return json.dumps([int(encoding), max_pixels]).encode()


def main(descriptor: int) -> None:
    """Fork a child for each message until the socket ends."""
    for number in (signal.SIGINT, signal.SIGTERM):  # the server says when: by the socket
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how children ended
    process.tune()
    with socket.socket(fileno=descriptor) as orders:
        orders.sendall(b"\n")  # ready
        while True:
            message, descriptors, *_ = socket.recv_fds(orders, 4096, 2)
            if not message:
                return
            if os.fork() == 0:
                orders.close()
                code = 1
                with contextlib.suppress(EOFError, ConnectionError):
                    _child(message, *descriptors)
                    code = 0
                os._exit(code)
            for one in descriptors:
                os.close(one)


def _child(message: bytes, connection: int, memory: int) -> None:
    encoding, max_pixels = json.loads(message)
    picture = np.frombuffer(mmap.mmap(memory, 0), np.uint8)
    _confine(max_pixels)  # from here on no descriptor can be had
    serve(Connection(connection), encoding, max_pixels, picture)


def _confine(max_pixels: int) -> None:
    pictures = max_pixels * CHANNELS * (MAX_REORDERED + 2)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for what, limit in (
        (resource.RLIMIT_AS, now + pictures + BESIDE_BYTES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 0),
        (resource.RLIMIT_NPROC, 0),
    ):
        _, hard = resource.getrlimit(what)
        resource.setrlimit(what, (limit,) * 2 if hard == resource.RLIM_INFINITY else (min(limit, hard),) * 2)
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def serve(line: Connection, encoding: pb.Encoding, max_pixels: int, memory: NDArray[np.uint8]) -> None:
    """Answer requests until the other end is gone; raises EOFError then."""
    decoder = CODECS[encoding].decoder(max_pixels)
    line.send_bytes(DONE)
    while True:
        request = line.recv_bytes()
        kind, rest = request[:1], request[1:]
        signal.setitimer(signal.ITIMER_REAL, DECODE_SECONDS)  # whose default is the end of the process
        if kind == DECODE:
            (frame_id,) = FRAME_ID.unpack_from(rest)
            frame = RawFrame(frame_id, 0, encoding, 0, 0, 0, rest[FRAME_ID.size :])
            _answer(line, memory, lambda frame=frame: decoder.decode(frame))  # type: ignore[misc]
        elif kind == FLUSH:
            _answer(line, memory, decoder.flush)
        else:
            decoder.lost()
        signal.setitimer(signal.ITIMER_REAL, 0)


def _answer(line: Connection, memory: NDArray[np.uint8], work: Callable[[], Sequence[Decoded]]) -> None:
    try:
        found = work()
    except Undecodable as error:
        line.send_bytes(REFUSED + error.message.encode())
        return
    for decoded in found:
        line.send_bytes(PICTURE + written(decoded, memory))
        if line.recv_bytes() != TAKEN:
            raise EOFError
    line.send_bytes(DONE)


if __name__ == "__main__":
    main(int(sys.argv[1]))
