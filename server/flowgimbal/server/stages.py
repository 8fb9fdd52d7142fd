"""What is done to a frame: decode, flow, warp, encode. Each stage is one object that one thread drives.

A stage takes a job and yields the jobs that it finished: none, one, or, when a window is flushed, many.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

import cv2

from flowgimbal.engines.engine import Engine, EngineError
from flowgimbal.server.codecs.codec import Decoder, Encoder
from flowgimbal.server.codecs.table import CODECS
from flowgimbal.server.errors import EngineFailure, Undecodable
from flowgimbal.server.job import Job
from flowgimbal.server.stabilizer import Stabilizer
from flowgimbal.server.stream_config import StreamSettings
from flowgimbal.server.warp import Warp
from flowgimbal.v1 import stabilizer_pb2 as pb

logger = logging.getLogger(__name__)


class Stage(Protocol):
    """One step of the road."""

    @property
    def name(self) -> str:
        """As in FrameStats."""

    @property
    def on_cores(self) -> bool:
        """Whether its work takes the cores of this machine, and not a card's."""

    def work(self, job: Job) -> Iterator[Job]:
        """Jobs that are finished now that ``job`` came; raises StreamError."""

    def flush(self) -> Iterator[Job]:
        """Jobs that waited for more to come."""


class Decode:
    """Bytes to planes. An undecodable frame is dropped, and told of by ``dropped``, if the stream is live."""

    name = "decode"
    on_cores = True

    def __init__(self, settings: StreamSettings, dropped: Callable[[], None]) -> None:
        self._lossless = settings.lossless
        self._dropped = dropped
        self._decoders: dict[int, Decoder] = {}

    def work(self, job: Job) -> Iterator[Job]:
        """Decode one frame."""
        if job.raw is None:
            return
        if job.encoding not in self._decoders:
            self._decoders[job.encoding] = CODECS[job.encoding].decoder()
        try:
            job.picture = self._decoders[job.encoding].decode(job.raw)
        except Undecodable:
            if self._lossless:
                raise
            self._dropped()
            return
        job.raw = None
        job.clock.lap(self.name)
        yield job

    def flush(self) -> Iterator[Job]:
        """Nothing waits here."""
        return iter(())


class Flow:
    """Measures the motion; a change of size begins with a new stabilizer."""

    name = "flow"

    def __init__(self, settings: StreamSettings, engine: Engine) -> None:
        self._settings = settings.stabilizer
        self._engine = engine
        self.on_cores = engine.on_cores
        self._stabilizer: Stabilizer | None = None
        self._size = (0, 0)

    def work(self, job: Job) -> Iterator[Job]:
        """Measure one frame."""
        if job.picture is None:
            return
        if self._stabilizer is None or job.picture.size != self._size:
            self._size = job.picture.size
            self._stabilizer = Stabilizer(self._engine, self._settings, *self._size)
        job.stabilizer = self._stabilizer
        with _engine_failure(self.name):
            job.held = self._engine.hold(job.picture)
            job.step = self._stabilizer.measure(job.held, job.capture_time_ns)
        job.clock.lap(self.name)
        yield job

    def flush(self) -> Iterator[Job]:
        """Nothing waits here."""
        return iter(())


class WarpStage:
    """Decides the warp and moves the pixels; holds the pictures that wait for the look-ahead."""

    name = "warp"

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.on_cores = engine.on_cores
        self._stabilizer: Stabilizer | None = None
        self._waiting: deque[Job] = deque()

    def work(self, job: Job) -> Iterator[Job]:
        """Take in one frame; yields the one that is due."""
        if job.step is None or job.stabilizer is None:
            return
        if job.stabilizer is not self._stabilizer:
            yield from self.flush()
            self._stabilizer = job.stabilizer
            job.clock.lap("queue")
        with _engine_failure(self.name):
            self._waiting.append(job)
            if self._waiting[0] is not job:
                self._waiting[0].clock.skip()
            warp = self._stabilizer.decide(job.step)
        if warp is not None:
            yield self._finish(warp)

    def flush(self) -> Iterator[Job]:
        """The frames that wait, oldest first."""
        if self._stabilizer is None:
            return
        warps = self._stabilizer.flush()
        while self._waiting:
            self._waiting[0].clock.skip()
            with _engine_failure(self.name):
                warp = next(warps)
            yield self._finish(warp)

    def _finish(self, warp: Warp) -> Job:
        job = self._waiting.popleft()
        if job.picture is not None:
            with _engine_failure(self.name):
                job.transform = [float(value) for value in warp.transform(*job.picture.size).ravel()]
                if not warp.identity:
                    job.picture = self._engine.sample(job.held, warp.mesh)
        job.held = job.step = job.stabilizer = None
        job.clock.lap(self.name)
        return job


class Encode:
    """Planes to bytes, in the output encoding or, if none is set, in the input's."""

    name = "encode"
    on_cores = True

    def __init__(self, settings: StreamSettings) -> None:
        self._settings = settings
        self._encoders: dict[int, Encoder] = {}

    def work(self, job: Job) -> Iterator[Job]:
        """Encode one frame into the message to send, its counters still unset."""
        if job.picture is None:
            return
        encoding = self._settings.output_encoding or job.encoding
        if encoding not in self._encoders:
            self._encoders[encoding] = CODECS[encoding].encoder(self._settings.output_quality)
        data = self._encoders[encoding].encode(job.picture)
        width, height = job.picture.size
        job.picture = None
        frame = pb.Frame(
            frame_id=job.frame_id,
            capture_time_ns=job.capture_time_ns,
            encoding=encoding,
            width=width,
            height=height,
            data=data,
        )
        job.clock.lap(self.name)
        stabilized = pb.StabilizedFrame(frame=frame, transform=job.transform, stats=job.clock.stats())
        job.response = pb.StreamResponse(frame=stabilized)
        yield job

    def flush(self) -> Iterator[Job]:
        """Nothing waits here."""
        return iter(())


@contextmanager
def _engine_failure(stage: str) -> Iterator[None]:
    """What the engine raises ends this stream, with the stage in the status; the log has the rest."""
    try:
        yield
    except (EngineError, cv2.error, ArithmeticError, ValueError, RuntimeError) as error:
        logger.exception("the %s stage failed", stage)
        why = str(error) if isinstance(error, EngineError) else "the server's log says why"
        message = f"the {stage} stage failed on a frame: {why}; a new stream may work"
        raise EngineFailure("ENGINE_FAILURE", message, stage=stage) from error
