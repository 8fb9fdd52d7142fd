"""The same face for programs without an event loop: a loop of its own in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Self, TypeVar, Unpack

from flowgimbal.client.client import Client, ServerInfo
from flowgimbal.client.endpoint import DEFAULT_ADDRESS, Endpoint
from flowgimbal.client.errors import StreamClosed
from flowgimbal.client.frame import SteadyFrame
from flowgimbal.client.resuming import PATIENCE_SECONDS
from flowgimbal.client.settings import Wishes
from flowgimbal.client.stream import Picture, Stream, StreamInfo

T = TypeVar("T")


class SyncClient:
    """``Client`` without ``async``; takes the same arguments and raises the same errors.

    with SyncClient() as client:
        for steady in client.stabilize(frames, look_ahead_frames=0):
            show(steady.image)
    """

    def __init__(self, address: str | Endpoint = DEFAULT_ADDRESS, **options: Any) -> None:
        self._client = Client(address, **options)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        loop = self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=loop.run_forever, name="flowgimbal-client", daemon=True)
        self._thread.start()
        self._run(self._client.__aenter__())
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Cancel what still runs, close the connection and end the thread. A second call does nothing."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        try:
            self._run(self._shut_down())
        finally:
            self._loop = self._thread = None
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def info(self) -> ServerInfo:
        """What the server is, can do, and allows."""
        return self._run(self._client.info())

    def health(self, service: str = "", *, wait_for_ready: bool = False) -> bool:
        """True if the server takes streams."""
        return self._run(self._client.health(service, wait_for_ready=wait_for_ready))

    def stabilize(
        self,
        pictures: Iterable[Picture],
        *,
        frame_rate: float | None = None,
        resume: bool = False,
        **wishes: Unpack[Wishes],
    ) -> Iterator[SteadyFrame]:
        """Send all ``pictures`` and yield what comes back, as ``Stream.stabilize``."""
        with self.stream(resume=resume, **wishes) as stream:
            yield from stream.stabilize(pictures, frame_rate=frame_rate)

    @contextmanager
    def stream(
        self, *, resume: bool = False, patience: float = PATIENCE_SECONDS, **wishes: Unpack[Wishes]
    ) -> Iterator[SyncStream]:
        """A stream, closed at the end of the ``with`` block; ``resume`` and ``patience`` as for ``Client.stream``."""
        stream = self._client.stream(resume=resume, patience=patience, **wishes)
        self._run(stream.__aenter__())
        try:
            yield SyncStream(stream, self._run)
        finally:
            self._run(stream.__aexit__(None, None, None))

    async def _shut_down(self) -> None:
        await self._client.close()
        loop = asyncio.get_running_loop()
        mine = asyncio.current_task()
        others = [task for task in asyncio.all_tasks(loop) if task is not mine]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await loop.shutdown_asyncgens()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            work.close()
            raise StreamClosed("the client is not connected: enter it with `with`")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:  # Ctrl-C while waiting: the work must not go on alone
            future.cancel()
            raise


class SyncStream:
    """``Stream`` without ``async``. Two threads may use it: one sends, one receives."""

    def __init__(self, stream: Stream, run: Any) -> None:
        self._stream = stream
        self._run = run

    @property
    def info(self) -> StreamInfo:
        """The server's answer to the settings."""
        return self._stream.info

    def send(self, picture: Picture, *, frame_id: int | None = None, capture_time_ns: int | None = None) -> int:
        """Send one picture and return its frame_id."""
        return int(self._run(self._stream.send(picture, frame_id=frame_id, capture_time_ns=capture_time_ns)))

    def tune(self, *, key_frame: bool = False, **wishes: Unpack[Wishes]) -> None:
        """Change settings for the frames sent from now on, as ``Stream.tune``."""
        self._run(self._stream.tune(key_frame=key_frame, **wishes))

    def receive(self) -> SteadyFrame | None:
        """The next steady frame; None when the server has sent the last one."""
        steady: SteadyFrame | None = self._run(self._stream.receive())
        return steady

    def exchange(self, picture: Picture, **named: int) -> SteadyFrame | None:
        """Lock-step: send one picture, take one back; None for the first ``info.latency_frames`` pictures."""
        steady: SteadyFrame | None = self._run(self._stream.exchange(picture, **named))
        return steady

    def half_close(self) -> None:
        """Say that no frame follows."""
        self._run(self._stream.half_close())

    def finish(self) -> Iterator[SteadyFrame]:
        """Half-close, and yield what is still to come."""
        return self._iterate(self._stream.finish())

    def stabilize(self, pictures: Iterable[Picture], *, frame_rate: float | None = None) -> Iterator[SteadyFrame]:
        """Send all ``pictures`` and yield what comes back, both at once."""
        return self._iterate(self._stream.stabilize(pictures, frame_rate=frame_rate))

    def _iterate(self, steadies: AsyncIterator[SteadyFrame]) -> Iterator[SteadyFrame]:
        one_at_a_time = asyncio.Lock()  # where Ctrl-C ends a wait, what was waited for ends a little later

        async def following() -> SteadyFrame | None:  # StopAsyncIteration does not cross a future
            async with one_at_a_time:
                return await anext(steadies, None)

        async def closing() -> None:
            async with one_at_a_time:
                await steadies.aclose()  # type: ignore[attr-defined]

        try:
            while (steady := self._run(following())) is not None:
                yield steady
        finally:
            self._run(closing())
