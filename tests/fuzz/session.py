"""Target: one whole stream of the server's, its client made of the bytes.

The bytes are the configuration, then what the client does one after the other: requests mostly, see `Client`, and how
it leaves.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import grpc.aio

from flowgimbal.engines.picker import pick
from flowgimbal.server.config import ServeConfig
from flowgimbal.server.errors import ClientGone, StreamError
from flowgimbal.server.metrics import Metrics
from flowgimbal.server.stream import Stream
from flowgimbal.server.turns import Turns
from flowgimbal.v1 import stabilizer_pb2 as pb
from fuzz import grammar, returned
from fuzz.choices import Choices
from fuzz.verdict import demand, judge

MAX_PIXELS = 1 << 16
MAX_ACTIONS = 200
NAME = "stream-under-fuzz"
_CONFIG = ServeConfig(max_frame_pixels=MAX_PIXELS, idle_timeout_seconds=5, drain_grace_seconds=0.02)
_ENGINE = pick("identity")
_METRICS = Metrics()


class Client:
    """The server's end of a call, whose other end does what the bytes say; keeps what it was given."""

    def __init__(self, choices: Choices) -> None:
        self._choices = choices
        self._clip = grammar.Clip()
        self._left = MAX_ACTIONS
        self._first = True
        self._gone = False
        self.lossless = False
        self.cancel: Callable[[], object]
        self.draining = asyncio.Event()
        self.tune: Callable[[pb.Tuning], pb.StreamInfo]
        self.infos = 0
        self.frames: list[pb.Frame] = []

    async def read(self) -> object:
        """The next request, or EOF."""
        while True:
            request = await self._next()
            if request is not None:
                return request

    async def send_initial_metadata(self, _: object) -> None:
        pass

    async def write(self, response: pb.StreamResponse) -> None:
        """Takes a response, unless the client is gone."""
        if self._gone:
            raise grpc.aio.InternalError("Failed to send")
        await asyncio.sleep(0)
        kind = response.WhichOneof("response")
        if kind == "info":
            self.infos += 1
        elif kind == "frame":
            demand(self.infos > 0, "a frame came back before the settings")
            returned.check(response.frame, MAX_PIXELS)
            self.frames.append(response.frame.frame)

    async def _next(self) -> object:
        self._left -= 1
        if self._first and not self._choices.chance(16):
            self._first = False
            config = grammar.config(self._choices)
            self.lossless = config.mode == pb.MODE_LOSSLESS
            return pb.StreamRequest(config=config)
        self._first = False
        if not self._choices or self._left < 0:
            return grpc.aio.EOF
        return await self._do(self._choices.number(1) % 64)

    async def _do(self, what: int) -> object:
        """One thing that a client, or somebody else meanwhile, does; returns the request if it is one."""
        if what < 52:
            return grammar.request(self._choices, self._clip)
        if what < 60:  # it waits a little, so that something comes back
            await asyncio.sleep(0.002)
        elif what == 60:  # an observer tunes
            try:
                self.tune(grammar.tuning(self._choices))
            except StreamError as error:
                judge(error)
        elif what == 61:
            self.draining.set()
        elif what == 62:
            self._gone = True
        elif what == 63 and self._choices.number(1) % 2:
            self.cancel()
            await asyncio.sleep(1)
        else:
            return grpc.aio.EOF
        return None


def run(data: bytes) -> None:
    """One input; raises ServersFault, or whatever the server's code fails with."""
    asyncio.run(_stream(Choices(data)))


async def _stream(choices: Choices) -> None:
    client = Client(choices)
    stream = Stream(NAME, client, _ENGINE, _CONFIG, _METRICS, Turns(2), client.draining)  # type: ignore[arg-type]
    running = asyncio.ensure_future(stream.run())
    client.cancel, client.tune = running.cancel, stream.tune
    ended_well = False
    try:
        await running
        ended_well = True
    except ClientGone:
        pass
    except StreamError as error:
        judge(error)
    except asyncio.CancelledError:
        pass
    left = [thread.name for thread in threading.enumerate() if thread.name.startswith(NAME)]
    demand(not left, f"threads are left: {left}")
    others = asyncio.all_tasks() - {asyncio.current_task()}
    demand(not others, f"tasks are left: {others}")
    await asyncio.sleep(0)  # what threads called in last
    _count(stream, client, ended_well)


def _count(stream: Stream, client: Client, ended_well: bool) -> None:
    counters = stream.summary.counters
    ids = [frame.frame_id for frame in client.frames]
    demand(len(ids) == len(set(ids)), f"frames came back twice: {ids}")
    demand(0 <= len(ids) - counters.returned <= 1, counters)  # one that is written counts when it is through
    accounted = counters.returned + counters.dropped
    demand(accounted <= counters.received, counters)
    if ended_well:
        demand(accounted == counters.received and counters.returned == len(ids), counters)
        demand(not (client.lossless and counters.dropped), counters)
