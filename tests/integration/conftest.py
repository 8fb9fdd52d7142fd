"""A real server process behind a socket, and a raw gRPC client: no part of the SDK is in between."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace

import cv2
import grpc
import numpy as np
import psutil
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from flowgimbal.v1 import stabilizer_pb2 as pb
from flowgimbal.v1 import stabilizer_pb2_grpc as pb_grpc

DEADLINE = 60

# An engine whose warm-up waits for a line on stdin's stand-in, a FIFO: the test decides when it is warm.
GATED = """
import sys
from flowgimbal.server import __main__, app
from flowgimbal.engines.picker import IdentityEngine
class Gated(IdentityEngine):
    def warm_up(self):
        sys.stderr.write('warming\\n')
        sys.stderr.flush()
        open(GATE).read()
app.pick = lambda *_: Gated()
sys.exit(__main__.main())
"""

OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),  # a channel is a connection
]


class ServerProcess:
    """``python -m flowgimbal.server`` on a free port, its log read line by line."""

    def __init__(self, *flags: str, wait: bool = True, program: tuple[str, ...] = ("-m", "flowgimbal.server")) -> None:
        command = [sys.executable, *program, "--log-format", "json", *flags]
        if "--listen" not in flags:
            command += ["--listen", "127.0.0.1:0"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.log: list[dict] = []
        self._lines = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.address = self.wait_for("serving")["addresses"].split(",")[0] if wait else ""
        self.ps = psutil.Process(self.process.pid)

    def _read(self) -> None:
        for line in self.process.stderr:
            with self._lines:
                try:
                    self.log.append(json.loads(line))
                except ValueError:
                    self.log.append({"message": line.rstrip(), "level": "plain"})
                self._lines.notify_all()

    def wait_for(self, message: str, count: int = 1) -> dict:
        with self._lines:

            def found() -> list[dict]:
                return [line for line in self.log if message in line["message"]]

            assert self._lines.wait_for(lambda: len(found()) >= count, DEADLINE), f"no {message!r} in {self.log}"
            return found()[count - 1]

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def exit_code(self) -> int:
        code = self.process.wait(DEADLINE)
        self._reader.join(DEADLINE)
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.exit_code()
        self.process.stderr.close()


class RawStream:
    """One call of Stream whose requests are pushed by hand."""

    def __init__(self, stub: pb_grpc.StabilizerServiceStub, *requests: pb.StreamRequest) -> None:
        self._queue: queue.Queue[pb.StreamRequest | None] = queue.Queue()
        for request in requests:
            self._queue.put(request)
        self.call = stub.Stream(iter(self._queue.get, None), timeout=DEADLINE)

    def send(self, *requests: pb.StreamRequest) -> None:
        for request in requests:
            self._queue.put(request)

    def half_close(self) -> None:
        self._queue.put(None)

    def info(self) -> pb.StreamInfo:
        return next(self.call).info

    def frames(self, count: int | None = None) -> list[pb.StabilizedFrame]:
        return [response.frame for response in itertools.islice(self.call, count)]

    def error(self) -> Refusal:
        with pytest.raises(grpc.RpcError) as caught:
            for _ in self.call:
                pass
        self.half_close()
        return Refusal(caught.value)

    def cancel(self) -> None:
        self.call.cancel()
        self.half_close()


class Refusal:
    """A status and its details."""

    def __init__(self, error: grpc.RpcError) -> None:
        self.code = error.code()
        self.message = error.details()
        self.info = error_details_pb2.ErrorInfo()
        self.retry = error_details_pb2.RetryInfo()
        status = rpc_status.from_call(error)
        for detail in status.details if status else ():
            for into in (self.info, self.retry):
                if detail.Is(into.DESCRIPTOR):
                    detail.Unpack(into)


class Client:
    """A channel to one server."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.insecure_channel(address, options=OPTIONS)
        self.stub = pb_grpc.StabilizerServiceStub(self.channel)

    def stream(self, *requests: pb.StreamRequest) -> RawStream:
        return RawStream(self.stub, *requests)

    def exchange(self, requests: Iterable[pb.StreamRequest]) -> list[pb.StabilizedFrame]:
        """Send everything, half-close, read everything; without the first response."""
        stream = self.stream(*requests)
        stream.half_close()
        stream.info()
        return stream.frames()


def config(**fields: object) -> pb.StreamRequest:
    return pb.StreamRequest(config=pb.StreamConfig(**fields))


def lossless(**fields: object) -> pb.StreamRequest:
    return config(mode=pb.MODE_LOSSLESS, **fields)


def picture(width: int = 160, height: int = 96, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 255, (9, 16, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def jpeg(width: int = 160, height: int = 96, quality: int = 90) -> bytes:
    return cv2.imencode(".jpg", picture(width, height), [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def frame(frame_id: int, data: bytes | None = None, **fields: object) -> pb.StreamRequest:
    """A JPEG frame at 30 frames per second unless ``fields`` say otherwise."""
    fields.setdefault("encoding", pb.ENCODING_JPEG)
    fields.setdefault("capture_time_ns", frame_id * 33_333_333)
    return pb.StreamRequest(frame=pb.Frame(frame_id=frame_id, data=jpeg() if data is None else data, **fields))


def gray(frame_id: int, width: int = 160, height: int = 96, **fields: object) -> pb.StreamRequest:
    data = picture(width, height)[..., 0].tobytes()
    return frame(frame_id, data, encoding=pb.ENCODING_GRAY8, width=width, height=height, **fields)


def eventually(check: Callable[[], bool], what: Callable[[], object] = str) -> None:
    """Wait until ``check`` holds; the limit is for a hang, not a measure of speed."""
    limit = time.monotonic() + DEADLINE
    while not check():
        assert time.monotonic() < limit, what()
        time.sleep(0.05)


@pytest.fixture(scope="session")
def wire() -> SimpleNamespace:
    """The message makers above, for tests, which cannot import this file."""
    makers = (config, lossless, picture, jpeg, frame, gray, eventually)
    return SimpleNamespace(**{maker.__name__: maker for maker in makers})


@pytest.fixture
def launch() -> Iterator[Callable[..., ServerProcess]]:
    """Starts servers with flags of one's own; they end with the test."""
    with contextlib.ExitStack() as stack:

        def start(*flags: str, engine: str = "identity", **options: object) -> ServerProcess:
            server = ServerProcess("--engine", engine, *flags, **options)
            stack.callback(server.close)
            return server

        yield start


@pytest.fixture
def connect() -> Iterator[Callable[[str], Client]]:
    """Opens channels that end with the test."""
    with contextlib.ExitStack() as stack:

        def open_channel(address: str) -> Client:
            client = Client(address)
            stack.callback(client.channel.close)
            return client

        yield open_channel


@pytest.fixture(scope="session")
def server() -> Iterator[ServerProcess]:
    """One server that many tests share."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    shared = ServerProcess("--engine", "identity", "--max-frame-pixels", "1000000", "--max-message-bytes", "4000000")
    yield shared
    shared.close()


@pytest.fixture(scope="session")
def client(server: ServerProcess) -> Iterator[Client]:
    """A channel to the shared server."""
    client = Client(server.address)
    yield client
    client.channel.close()


@pytest.fixture
def gated(launch, tmp_path) -> tuple[Callable[..., ServerProcess], Path]:
    """Starts a server whose engine is warm when something is written to the file."""
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    program = ("-c", f"GATE = {str(gate)!r}\n{GATED}")

    def start(*flags: str) -> ServerProcess:
        server = launch(*flags, wait=False, program=program)
        server.wait_for("warming")
        return server

    return start, gate
