"""Calls of a client that means no good, over gRPC: what it sends, how it leaves, and what it is told."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from flowgimbal.v1 import stabilizer_pb2 as pb
from fuzz.messages import RECIPES, mutated

STREAM = "/flowgimbal.v1.StabilizerService/Stream"
UNARY = (
    "/flowgimbal.v1.StabilizerService/GetServerInfo",
    "/flowgimbal.v1.ObserverService/Tune",
    "/grpc.health.v1.Health/Check",
    "/flowgimbal.v1.StabilizerService/Nothing",
    "/" + "x" * 300,
)
SERVER_STREAMS = ("/flowgimbal.v1.ObserverService/Watch", "/grpc.health.v1.Health/Watch")
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
DEADLINE_SECONDS = 60.0
"""Longer than any of the server's own time-outs: a call that is still there then hangs."""
OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]


@dataclass(slots=True)
class Tally:
    """What was sent, and what was said to it. ``told``: calls by status and reason."""

    messages: int = 0
    frames: int = 0
    told: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def note(self, error: grpc.aio.AioRpcError, what: str) -> None:
        """The status that a call ended with; a fault if it blames the server, or nobody."""
        info = error_details_pb2.ErrorInfo()
        status = rpc_status.from_call(error)  # type: ignore[arg-type]
        for detail in status.details if status else ():
            if detail.Is(info.DESCRIPTOR):
                detail.Unpack(info)
        name = error.code().name
        # gRPC's Python client says so of its own when a status overtakes what it still writes.
        if name == "INTERNAL" and error.details() == "Internal error from Core":
            self.told["INTERNAL of the client"] += 1
            return
        self.told[f"{name} {info.reason}".rstrip()] += 1
        hangs = name == "DEADLINE_EXCEEDED" and not info.reason
        if hangs or name in ("INTERNAL", "UNKNOWN", "UNAVAILABLE"):
            self.faults.append(f"{what}: {name} {info.reason}: {error.details()}")


class Pace:
    """So many messages a second at most, whoever sends them: a server without room is no place to look for faults."""

    def __init__(self, rate: float) -> None:
        self._step = 1 / rate
        self._next = 0.0

    async def keep(self) -> None:
        """Wait until the next message may go."""
        now = asyncio.get_running_loop().time()
        self._next = max(self._next + self._step, now)
        await asyncio.sleep(self._next - now)


class Caller:
    """One connection after another, one call after another."""

    def __init__(self, address: str, seed: str, tally: Tally, pace: Pace) -> None:
        self._address = address
        self._pace = pace
        self._rng = random.Random(seed)
        self._tally = tally

    async def run(self, goal: int) -> None:
        """Call until the tally has ``goal`` messages."""
        while self._tally.messages < goal:
            async with grpc.aio.insecure_channel(self._address, options=OPTIONS) as channel:
                for _ in range(self._rng.randrange(1, 50)):
                    if self._tally.messages >= goal:
                        return
                    await self._call(channel)

    async def _call(self, channel: grpc.aio.Channel) -> None:
        kinds = (self._stream, self._unary, self._watch, self._reflect, self._crowd)
        kind: Callable[[grpc.aio.Channel], Awaitable[None]]
        (kind,) = self._rng.choices(kinds, (80, 10, 4, 3, 3))
        try:
            await kind(channel)
            self._tally.told["OK"] += 1
        except grpc.aio.AioRpcError as error:
            self._tally.note(error, kind.__name__)
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            self._tally.told["left"] += 1

    async def _stream(self, channel: grpc.aio.Channel) -> None:
        recipe = self._rng.choice(RECIPES)
        await self._exchange(channel, STREAM, recipe(random.Random(self._rng.random())))

    async def _crowd(self, channel: grpc.aio.Channel) -> None:
        """More streams at once than there are places."""
        recipe = RECIPES[0]
        each = (self._exchange(channel, STREAM, recipe(random.Random(self._rng.random()))) for _ in range(12))
        for result in await asyncio.gather(*each, return_exceptions=True):
            if isinstance(result, grpc.aio.AioRpcError):
                self._tally.note(result, "crowd")

    async def _reflect(self, channel: grpc.aio.Channel) -> None:
        await self._exchange(channel, REFLECTION, (self._rng.randbytes(self._rng.randrange(20)) for _ in range(10)))

    async def _exchange(self, channel: grpc.aio.Channel, method: str, messages: Iterator[bytes]) -> None:
        """Send messages until they, or the server, have enough; then half-close, cancel, or stay silent for a while."""
        call: Any = channel.stream_stream(method, bytes, bytes)(metadata=self._metadata(), timeout=DEADLINE_SECONDS)
        reading = asyncio.ensure_future(self._read(call))
        leave = self._rng.random()
        try:
            for data in messages:
                if call.done():
                    break
                await self._pace.keep()
                await call.write(data)
                self._tally.messages += 1
                if leave < 0.1 and self._rng.random() < 0.05:
                    call.cancel()
            if leave > 0.2:
                await call.done_writing()
            elif leave > 0.15:
                await asyncio.sleep(0.5)
                call.cancel()
            else:
                call.cancel()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass  # the reader is told why
        except BaseException:
            call.cancel()
            raise
        finally:
            await asyncio.wait({reading})
        reading.result()

    async def _read(self, call: grpc.aio.StreamStreamCall[bytes, bytes]) -> None:
        async for response in call:
            self._tally.frames += pb.StreamResponse.FromString(response).WhichOneof("response") == "frame"

    async def _unary(self, channel: grpc.aio.Channel) -> None:
        method = self._rng.choice(UNARY)
        self._tally.messages += 1
        await channel.unary_unary(method, bytes, bytes)(
            self._request(), metadata=self._metadata(), timeout=DEADLINE_SECONDS
        )

    async def _watch(self, channel: grpc.aio.Channel) -> None:
        method = self._rng.choice(SERVER_STREAMS)
        self._tally.messages += 1
        call = channel.unary_stream(method, bytes, bytes)(
            self._request(), metadata=self._metadata(), timeout=DEADLINE_SECONDS
        )
        with contextlib.suppress(TimeoutError):  # which cancels it
            async with asyncio.timeout(0.2):
                async for _ in call:
                    pass

    def _request(self) -> bytes:
        valid = pb.TuneRequest(stream_id="0" * 16, tuning=pb.Tuning(key_frame=True)).SerializeToString()
        return self._rng.choice((b"", self._rng.randbytes(50), mutated(self._rng, valid), valid))

    def _metadata(self) -> tuple[tuple[str, str | bytes], ...]:
        """None as a rule; many keys or long values now and then."""
        if self._rng.random() < 0.95:
            return ()
        length = self._rng.choice((10, 1000, 20_000))
        plain = ((f"key-{number}", "v" * length) for number in range(self._rng.choice((1, 50))))
        return (*plain, ("noise-bin", self._rng.randbytes(length)), ("authorization", "Bearer " + "y" * length))
