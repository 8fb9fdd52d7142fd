"""One frame on its way through the stages, and the stopwatch that travels with it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import NamedTuple

from flowgimbal.engines.engine import Held
from flowgimbal.engines.picture import Picture
from flowgimbal.server.codecs.codec import PLAIN, Attached, RawFrame
from flowgimbal.server.errors import StreamError
from flowgimbal.server.stabilizer import Stabilizer
from flowgimbal.server.stream_config import StreamSettings
from flowgimbal.server.window import Step
from flowgimbal.v1 import stabilizer_pb2 as pb

LOSSLESS_PATIENCE_NS = 500_000_000
"""A lossless stream's frames let live ones that come this much later go before them, and no later ones."""
STAGES = ("queue", "decode", "flow", "warp", "encode")


class Lap(NamedTuple):
    """A stretch of a frame's time, by ``time.perf_counter_ns``."""

    stage: str
    start_ns: int
    end_ns: int


@dataclass(slots=True)
class Clock:
    """Where a frame's time went. A moment belongs to the stage that ends then; what is left is waiting."""

    mark_ns: int = field(default_factory=time.perf_counter_ns)
    laps: list[Lap] = field(default_factory=list)

    def lap(self, stage: str) -> None:
        """The time since the last mark was spent on ``stage``."""
        now = time.perf_counter_ns()
        self.laps.append(Lap(stage, self.mark_ns, now))
        self.mark_ns = now

    def skip(self) -> None:
        """The time since the last mark counts for nothing: the look-ahead's waiting."""
        self.mark_ns = time.perf_counter_ns()

    @property
    def spent_ns(self) -> dict[str, int]:
        """What was spent on each of STAGES."""
        spent = dict.fromkeys(STAGES, 0)
        for lap in self.laps:
            spent[lap.stage] += lap.end_ns - lap.start_ns
        return spent

    def stats(self) -> pb.FrameStats:
        """As a message, its counters still unset."""
        spent = self.spent_ns
        return pb.FrameStats(
            total_ns=sum(spent.values()),
            queue_ns=spent["queue"],
            decode_ns=spent["decode"],
            flow_ns=spent["flow"],
            warp_ns=spent["warp"],
            encode_ns=spent["encode"],
        )


@dataclass(slots=True)
class Job:
    """One frame; each stage takes what the one before left and lets go of what is used up."""

    frame_id: int
    capture_time_ns: int
    encoding: pb.Encoding
    raw: RawFrame | None
    announced: tuple[int, int] | None  # its size, as its header or those before it say [pixels]
    due_ns: int
    settings: StreamSettings  # in force when it came
    depends: bool = False  # on frames before it
    key_frames_asked: int = 0  # so far, when it came
    clock: Clock = field(default_factory=Clock)
    skipped: bool = False  # dropped and counted, but frames after it may need it decoded
    replayed: bool = False  # returned by another server: measured only
    after_gap: bool = False  # frames before it were dropped without being decoded
    picture: Picture | None = None
    attached: Attached = PLAIN
    held: Held = None
    stabilizer: Stabilizer | None = None
    step: Step | None = None
    transform: list[float] = field(default_factory=list)
    path: bytes = b""
    size: int = 0  # of the picture that goes back, encoded [bytes]
    response: pb.StreamResponse | None = None

    @staticmethod
    def of(
        frame: RawFrame,
        announced: tuple[int, int] | None,
        settings: StreamSettings,
        *,
        depends: bool,
        key_frames_asked: int,
        replayed: bool,
    ) -> Job:
        """A frame that has just come."""
        due_ns = time.perf_counter_ns() + (LOSSLESS_PATIENCE_NS if settings.lossless else 0)
        return Job(
            frame.frame_id,
            frame.capture_time_ns,
            frame.encoding,
            frame,
            announced,
            due_ns,
            settings,
            depends,
            key_frames_asked,
            replayed=replayed,
        )


@dataclass(frozen=True, slots=True)
class End:
    """The last item on every belt: the end of the input, or the error that ends the stream.

    Frames on the belt before it still go out; those in the window too if ``flush``.
    """

    error: StreamError | None = None
    flush: bool = True
