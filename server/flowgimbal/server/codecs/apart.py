"""Decoders that run apart: what kills a decoder costs a frame, and not the server.

FFmpeg and libjpeg read what anybody sends. Where a server is reached by others, they do it in processes of their own
(``confined``), one a stream, that have nothing but the frames and a piece of shared memory for the picture.
"""

from __future__ import annotations

import contextlib
import logging
import mmap
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection

import numpy as np

from flowgimbal.server.codecs import answer, confined
from flowgimbal.server.codecs.codec import MAX_REORDERED, Decoded, Decoder, RawFrame
from flowgimbal.server.codecs.table import CODECS
from flowgimbal.server.errors import Undecodable, Unsupported
from flowgimbal.v1 import stabilizer_pb2 as pb

logger = logging.getLogger(__name__)

CODED = frozenset({pb.ENCODING_JPEG, pb.ENCODING_H264, pb.ENCODING_HEVC})
"""Encodings that take more than counting bytes."""
MAX_DEATHS = 8
"""Of one stream's decoders, then the stream ends."""
ANSWER_SECONDS = confined.DECODE_SECONDS + 2
START_SECONDS = 60
_MAX_ANSWER = 64 << 20


class Nursery:
    """Makes processes that decode. Thread-safe; started again by itself if somebody kills it."""

    def __init__(self, died: Callable[[], None]) -> None:
        """``died`` is told of every decoder that ends before its stream does."""
        self.died = died
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._orders: socket.socket | None = None

    def open(self) -> None:
        """Load what decoders need, so that the first stream does not wait for it; raises OSError."""
        with self._lock:
            self._start()

    def close(self) -> None:
        """Make no more; those that run end with their streams."""
        with self._lock:
            if self._orders is not None:
                self._orders.close()
            if self._process is not None:
                self._process.wait()

    def decoder(self, encoding: pb.Encoding, max_pixels: int) -> tuple[Connection, mmap.mmap]:
        """A connection to a new process, and the memory in which it lays pictures; raises OSError."""
        memory = os.memfd_create("flowgimbal-picture")
        try:
            os.ftruncate(memory, max_pixels * answer.CHANNELS)
            order = confined.order(encoding, max_pixels)
            with self._lock:
                try:
                    line = self._born(order, memory)
                except (EOFError, OSError):
                    self._start()
                    line = self._born(order, memory)
            return line, mmap.mmap(memory, 0)
        except EOFError:
            raise OSError("a decoder ended before its first frame") from None
        finally:
            os.close(memory)

    def _born(self, order: bytes, memory: int) -> Connection:
        if self._orders is None:
            raise EOFError
        here, there = socket.socketpair()
        line = Connection(here.detach())
        with there:
            socket.send_fds(self._orders, [order], [there.fileno(), memory])
        if not line.poll(START_SECONDS):
            raise EOFError
        line.recv_bytes(1)
        return line

    def _start(self) -> None:
        if self._orders is not None:
            self._orders.close()
        if self._process is not None:
            self._process.wait()
        # A message is read whole, or its descriptors would come with the next.
        self._orders, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        with theirs:
            command = (sys.executable, "-m", "flowgimbal.server.codecs.confined", str(theirs.fileno()))
            # In a session of its own: Ctrl-C at a terminal is the server's.
            self._process = subprocess.Popen(command, pass_fds=(theirs.fileno(),), start_new_session=True)
        self._orders.settimeout(START_SECONDS)
        if not self._orders.recv(1):
            raise OSError("the process that decodes cannot start; what it wrote above says why")
        self._orders.settimeout(None)


def decoder(nursery: Nursery | None, encoding: pb.Encoding, max_pixels: int) -> Decoder:
    """A decoder for one stream: apart, if there is a nursery and the encoding takes more than counting bytes."""
    if nursery is None or encoding not in CODED:
        return CODECS[encoding].decoder(max_pixels)
    return ApartDecoder(nursery, encoding, max_pixels)


class ApartDecoder:
    """A decoder behind a connection. The process goes with this object, and is made anew if it dies."""

    def __init__(self, nursery: Nursery, encoding: pb.Encoding, max_pixels: int) -> None:
        self._nursery = nursery
        self._encoding = encoding
        self._max_pixels = max_pixels
        self._deaths = 0
        self._line, self._memory = nursery.decoder(encoding, max_pixels)

    def decode(self, frame: RawFrame) -> Sequence[Decoded]:
        """As in Decoder; raises Undecodable for a frame that kills the process, Unsupported after too many of them."""
        return self._ask(confined.DECODE + confined.FRAME_ID.pack(frame.frame_id) + frame.data)

    def flush(self) -> Sequence[Decoded]:
        """As in Decoder."""
        try:
            return self._ask(confined.FLUSH)
        except Undecodable:
            return ()

    def lost(self) -> None:
        """As in Decoder."""
        with contextlib.suppress(OSError):  # the next frame hears of it
            self._line.send_bytes(confined.LOST)

    def _ask(self, request: bytes) -> Sequence[Decoded]:
        try:
            self._line.send_bytes(request)
            return self._pictures()
        except (EOFError, OSError, answer.NotAnAnswer) as error:
            self._replace(error)
            message = "data: the decoder died of this frame; send one whole picture a frame"
            raise Undecodable("FRAME_UNDECODABLE", message, field="data") from error

    def _pictures(self) -> Sequence[Decoded]:
        found: list[Decoded] = []
        while True:
            if not self._line.poll(ANSWER_SECONDS):
                raise EOFError(f"no answer within {ANSWER_SECONDS} s")
            said = self._line.recv_bytes(_MAX_ANSWER)
            kind, rest = said[:1], said[1:]
            if kind == confined.DONE:
                return found
            if kind == confined.REFUSED:
                raise Undecodable("FRAME_UNDECODABLE", rest.decode("utf-8", "replace")[:500], field="data")
            if kind != confined.PICTURE or len(found) > MAX_REORDERED:
                raise answer.NotAnAnswer("it is of no kind that there is")
            found.append(answer.read(rest, np.frombuffer(self._memory, np.uint8)))
            self._line.send_bytes(confined.TAKEN)

    def _replace(self, why: Exception) -> None:
        logger.warning("a decoder died and is replaced", extra={"why": f"{why!r:.200}"})
        self._nursery.died()
        self._deaths += 1
        self._line.close()
        if self._deaths > MAX_DEATHS:
            message = f"data: {self._deaths} frames of this stream killed the decoder; send another encoding"
            raise Unsupported("DECODER_DIED", message, field="data")
        self._line, self._memory = self._nursery.decoder(self._encoding, self._max_pixels)
