"""Streams that go on where one on another server ended, whatever they bring along."""

from __future__ import annotations

import asyncio
import struct

import grpc.aio
import numpy as np
import pytest

from flowgimbal.engines.motion import LANES
from flowgimbal.engines.picker import pick
from flowgimbal.engines.plan import COARSEST, COURSE, WALLS, Course, spacing
from flowgimbal.engines.shapes import COLUMNS, ROWS
from flowgimbal.server import resume
from flowgimbal.server.config import ServeConfig
from flowgimbal.server.errors import InvalidArgument
from flowgimbal.server.metrics import Metrics
from flowgimbal.server.resume import Trace
from flowgimbal.server.stream import Stream
from flowgimbal.server.turns import Turns
from flowgimbal.server.window import Point
from flowgimbal.v1 import stabilizer_pb2 as pb

FIELD = (2, ROWS, COLUMNS)


def point(seconds: float, course: Course | None = None, *, room: float = 0.1, extent: float = 0.9) -> bytes:
    there = Point(seconds, np.zeros(LANES), np.zeros(FIELD), np.zeros(FIELD))
    return resume.packed(Trace(0, there, course or Course(), room, extent))


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 1 / 30, 2.0])
def test_a_path_keeps_its_times(seconds):
    (trace,) = resume.read(pb.Resume(path=[point(seconds)])).path
    assert trace.point.seconds == pytest.approx(seconds, rel=1e-6)


@pytest.mark.parametrize("seconds", [1e-45, 5e-10, -1 / 30, 2.1, float("nan"), float("inf")])
def test_times_that_no_clock_tells_are_refused(seconds):
    with pytest.raises(InvalidArgument, match="on no path"):
        resume.read(pb.Resume(path=[point(seconds)]))


def test_a_time_that_no_clock_tells_is_found_wherever_it_stands():
    broken = bytearray(point(1 / 30))
    struct.pack_into("<f", broken, 9, 1e-45)
    with pytest.raises(InvalidArgument, match="on no path"):
        resume.read(pb.Resume(path=[point(0.0), point(1 / 30), bytes(broken)]))


@pytest.mark.parametrize(("room", "extent"), [(0.1, 0.0), (0.1, 0.49), (0.1, 1.1), (0.6, 0.9), (-0.1, 0.9)])
def test_a_crop_that_no_settings_allow_is_refused(room, extent):
    with pytest.raises(InvalidArgument, match="on no path"):
        resume.read(pb.Resume(path=[point(1 / 30, room=room, extent=extent)]))


def test_the_widest_crop_is_taken():
    (trace,) = resume.read(pb.Resume(path=[point(1 / 30, room=0.5, extent=0.5)])).path
    assert (trace.room, trace.extent) == (0.5, 0.5)


def test_the_course_is_kept():
    positions, walls = np.random.default_rng(0).normal(size=(2, COURSE, WALLS))
    (trace,) = resume.read(pb.Resume(path=[point(1 / 30, Course(10, positions, walls))])).path
    assert trace.course.spacing == 10
    assert trace.course.positions == pytest.approx(positions, rel=1e-3)
    assert trace.course.walls == pytest.approx(walls, rel=1e-3)


def test_walls_that_were_leaned_on_without_an_end_break_no_path():
    (trace,) = resume.read(pb.Resume(path=[point(1 / 30, Course(8, walls=np.full((COURSE, WALLS), 1e7)))])).path
    assert trace.course.walls == pytest.approx(resume.FARTHEST)


NOWHERE = np.full((COURSE, WALLS), np.nan)


@pytest.mark.parametrize("course", [Course(spacing(COARSEST) + 1), Course(8, NOWHERE), Course(8, walls=NOWHERE)])
def test_a_course_that_nobody_planned_is_refused(course):
    with pytest.raises(InvalidArgument, match="on no path"):
        resume.read(pb.Resume(path=[point(1 / 30, course)]))


class Context:
    """A client whose frames are given, and which keeps what comes back."""

    def __init__(self, *requests: pb.StreamRequest) -> None:
        self._requests = [*requests, grpc.aio.EOF]
        self.returned: list[int] = []

    async def read(self) -> object:
        return self._requests.pop(0)

    async def send_initial_metadata(self, _: object) -> None:
        pass

    async def write(self, response: pb.StreamResponse) -> None:
        if response.WhichOneof("response") == "frame":
            self.returned.append(response.frame.frame.frame_id)


@pytest.mark.parametrize("mode", [pb.MODE_LIVE, pb.MODE_LOSSLESS])
async def test_a_replayed_frame_that_cannot_be_read_counts_for_nothing(mode):
    config = pb.StreamConfig(mode=mode, look_ahead_frames=0, resume=pb.Resume(after_frame_id=0))
    data = bytes(64 * 48)
    frames = [
        pb.Frame(frame_id=0, encoding=pb.ENCODING_JPEG, data=b"not one"),
        pb.Frame(frame_id=1, encoding=pb.ENCODING_GRAY8, width=64, height=48, data=data),
    ]
    context = Context(pb.StreamRequest(config=config), *(pb.StreamRequest(frame=frame) for frame in frames))
    engine = pick("identity")
    stream = Stream("resumed", context, engine, ServeConfig(), Metrics(), Turns(2), asyncio.Event())
    await stream.run()
    counters = stream.summary.counters
    assert (counters.received, counters.dropped, counters.returned) == (1, 0, 1)
    assert context.returned == [1]
