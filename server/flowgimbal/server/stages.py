"""What is done to a frame: decode, flow, warp, encode. Each stage is one object, with one thread in it at a time.

A stage takes a job and yields the jobs that it finished: none, one, or, when a window is flushed, many.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from flowgimbal.engines.engine import Engine, EngineError
from flowgimbal.engines.picture import Picture
from flowgimbal.server.codecs.apart import Nursery, decoder
from flowgimbal.server.codecs.codec import MAX_REORDERED, Decoded, Decoder, Encoder
from flowgimbal.server.codecs.table import CODECS
from flowgimbal.server.errors import EngineFailure, Undecodable
from flowgimbal.server.job import Job
from flowgimbal.server.limits import check_size
from flowgimbal.server.pins import pin
from flowgimbal.server.resume import Trace, packed
from flowgimbal.server.stabilizer import Stabilizer
from flowgimbal.server.stream_config import StreamSettings
from flowgimbal.server.warp import Warp
from flowgimbal.server.watch import Observers, Sight
from flowgimbal.v1 import stabilizer_pb2 as pb

logger = logging.getLogger(__name__)


_NO_PICTURE = "the decoder gave no picture for it; begin with a key frame and send every unit after it"


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
    """Bytes to planes. A frame that cannot be decoded is dropped, and told of by ``dropped``, if the stream is live.

    Pictures leave in the order of presentation: those of some streams wait for frames that come later.
    """

    name = "decode"
    on_cores = True

    def __init__(
        self, settings: StreamSettings, max_pixels: int, dropped: Callable[[], None], nursery: Nursery | None = None
    ) -> None:
        """``nursery``: where decoders run apart."""
        self._lossless = settings.lossless
        self._max_pixels = max_pixels
        self._dropped = dropped
        self._starved = False
        self._nursery = nursery
        self._encoding: pb.Encoding | None = None
        self._decoder: Decoder | None = None
        self._waiting: dict[int, Job] = {}

    def work(self, job: Job) -> Iterator[Job]:
        """Decode one frame."""
        if job.raw is None:
            return
        if self._decoder is None or job.encoding != self._encoding:
            yield from self.flush()
            job.clock.lap("queue")
            self._encoding = job.encoding
            self._decoder = decoder(self._nursery, job.encoding, self._max_pixels)
        if job.after_gap:
            self._decoder.lost()
        self._waiting[job.frame_id] = job
        try:
            found = self._decoder.decode(job.raw)
        except (Undecodable, MemoryError) as error:
            del self._waiting[job.frame_id]
            if self._lossless and not job.replayed:
                raise
            if isinstance(error, MemoryError) and not self._starved:
                self._starved = True
                logger.exception("no memory to decode with: frames are dropped")
            self._give_up(job)
            return
        job.raw = None
        job.clock.lap(self.name)
        yield from self._matched(found)
        while len(self._waiting) > MAX_REORDERED:
            self._give_up(self._waiting.pop(next(iter(self._waiting))))

    def flush(self) -> Iterator[Job]:
        """The frames whose pictures waited for others."""
        if self._decoder is not None:
            yield from self._matched(self._decoder.flush())
        while self._waiting:
            self._give_up(self._waiting.pop(next(iter(self._waiting))))

    def _matched(self, found: Sequence[Decoded]) -> Iterator[Job]:
        for decoded in found:
            job = self._waiting.pop(decoded.frame_id)
            if job.skipped:
                continue
            check_size(*decoded.picture.size, self._max_pixels)  # headers can contradict each other
            if decoded.picture.size != job.announced:
                self._give_up(job, "the picture is of another size than what came before it says")
                continue
            job.picture, job.attached = decoded.picture, decoded.attached
            job.clock.skip()
            yield job

    def _give_up(self, job: Job, why: str = _NO_PICTURE) -> None:
        """No picture will come of it."""
        if job.replayed:
            return
        if self._lossless:
            raise Undecodable("FRAME_UNDECODABLE", f"data: {why} (frame_id {job.frame_id})", field="data")
        if not job.skipped:
            self._dropped()


class Flow:
    """Measures the motion; a change of size begins with a new stabilizer."""

    name = "flow"

    def __init__(self, settings: StreamSettings, engine: Engine, path: Sequence[Trace] = ()) -> None:
        """``path`` is what was shown before this stream began, by another server."""
        self._settings = settings
        self._engine = engine
        self._path = path
        self.on_cores = engine.on_cores
        self._stabilizer: Stabilizer | None = None
        self._size = (0, 0)

    def work(self, job: Job) -> Iterator[Job]:
        """Measure one frame."""
        if job.picture is None:
            return
        if self._stabilizer is None or job.picture.size != self._size:
            self._size = job.picture.size
            path, self._path = self._path, ()
            self._stabilizer = Stabilizer(self._engine, job.settings.stabilizer, *self._size, path)
        elif job.settings is not self._settings:
            self._stabilizer.tune(job.settings.stabilizer)
        self._settings = job.settings
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

    def __init__(self, engine: Engine, observers: Observers) -> None:
        self._engine = engine
        self._observers = observers
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
        if job.replayed:
            return
        with _engine_failure(self.name):
            self._waiting.append(job)
            if self._waiting[0] is not job:
                self._waiting[0].clock.skip()
            warp = self._stabilizer.decide(job.step)
        if warp is not None:
            yield self._finish(warp)
            yield from self._finished(self._stabilizer.overdue())

    def flush(self) -> Iterator[Job]:
        """The frames that wait, oldest first."""
        if self._stabilizer is not None:
            yield from self._finished(self._stabilizer.flush())

    def _finished(self, warps: Iterator[Warp]) -> Iterator[Job]:
        while self._waiting:
            self._waiting[0].clock.skip()
            with _engine_failure(self.name):
                warp = next(warps, None)
            if warp is None:
                return
            yield self._finish(warp)

    def _finish(self, warp: Warp) -> Job:
        job = self._waiting.popleft()
        raw = job.picture
        if raw is not None:
            with _engine_failure(self.name):
                if not warp.identity:
                    steady = self._engine.sample(job.held, warp.mesh)
                    pins = job.settings.stabilizer.pins
                    job.picture = pin(raw, steady, pins) if pins else steady
                    if steady is raw:  # the engine failed, and the stream goes on
                        warp = Warp.still()
                job.transform = [float(value) for value in warp.transform(*raw.size).ravel()]
                if job.settings.resumable and self._stabilizer is not None:
                    job.path = packed(self._stabilizer.trace(job.capture_time_ns))
                if self._observers and job.picture is not None:
                    self._observers.show(_sight(job, raw, job.picture))
        job.held = job.step = job.stabilizer = None
        job.clock.lap(self.name)
        return job


class Encode:
    """Planes to bytes, in the output encoding or, if none is set, in the input's.

    A frame that there is no memory for is dropped, and told of by ``dropped``, if the stream is live.
    """

    name = "encode"
    on_cores = True

    def __init__(self, settings: StreamSettings, dropped: Callable[[], None]) -> None:
        self._settings = settings
        self._dropped = dropped
        self._starved = False
        self._key_frames_asked = 0
        self._encoders: dict[int, Encoder] = {}

    def work(self, job: Job) -> Iterator[Job]:
        """Encode one frame into the message to send, its counters still unset."""
        if job.picture is None:
            return
        if job.settings.encoder != self._settings.encoder:
            self._encoders.clear()
        self._settings = job.settings
        encoding = self._settings.output_encoding or job.encoding
        if encoding not in self._encoders:
            self._encoders[encoding] = CODECS[encoding].encoder(self._settings.encoder)
        if job.key_frames_asked > self._key_frames_asked:
            self._key_frames_asked = job.key_frames_asked
            self._encoders[encoding].force_key_frame()
        try:
            data = self._encoders[encoding].encode(job.picture, job.attached, job.capture_time_ns)
        except MemoryError:
            if self._settings.lossless:
                raise
            if not self._starved:
                self._starved = True
                logger.exception("no memory to encode with: frames are dropped")
            self._dropped()
            return
        width, height = job.picture.size
        job.picture, job.size = None, len(data)
        frame = pb.Frame(
            frame_id=job.frame_id,
            capture_time_ns=job.capture_time_ns,
            encoding=encoding,
            width=width,
            height=height,
            data=data,
        )
        job.clock.lap(self.name)
        stabilized = pb.StabilizedFrame(frame=frame, transform=job.transform, stats=job.clock.stats(), path=job.path)
        job.response = pb.StreamResponse(frame=stabilized)
        yield job

    def flush(self) -> Iterator[Job]:
        """Nothing waits here."""
        return iter(())


def _sight(job: Job, raw: Picture, steady: Picture) -> Sight:
    measured = job.step is not None and job.settings.stabilizer.active and not job.step.restart
    shift = job.step.coefficients[:2] * raw.width / 2 if job.step is not None and measured else ()
    return Sight(
        raw,
        steady,
        job.attached.colour,
        job.encoding,
        job.frame_id,
        job.capture_time_ns,
        job.transform,
        [float(value) for value in shift],
        job.clock.stats(),
    )


@contextmanager
def _engine_failure(stage: str) -> Iterator[None]:
    """What the engine raises ends this stream, with the stage in the status; the log has the rest."""
    try:
        yield
    except Exception as error:  # whatever an engine's libraries throw
        logger.exception("the %s stage failed", stage)
        why = str(error) if isinstance(error, EngineError) else "the server's log says why"
        message = f"the {stage} stage failed on a frame: {why}; a new stream may work"
        raise EngineFailure("ENGINE_FAILURE", message, stage=stage) from error
