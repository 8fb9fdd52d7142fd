"""What a stream takes along to another server: its path, point by point, in a form for the wire.

The form is a version of one byte and, little-endian: the frame's time (int64, ns), the seconds since the frame before,
the crop's room and extent (float32), the spacing of the course (uint8), then, float32, ``coefficients`` (LANES),
``moved`` and ``offset`` (each 2 x ROWS x COLUMNS); float16, the course's positions and walls (each COURSE x WALLS).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from flowgimbal.engines.forecast import KEPT
from flowgimbal.engines.motion import LANES
from flowgimbal.engines.plan import COARSEST, COURSE, WALLS, Course, spacing
from flowgimbal.engines.shapes import COLUMNS, ROWS
from flowgimbal.engines.timeline import REACH
from flowgimbal.server.crop import MOST_CROPPED
from flowgimbal.server.errors import InvalidArgument
from flowgimbal.server.window import Point
from flowgimbal.v1 import stabilizer_pb2 as pb

VERSION = 4
_HEAD = struct.Struct("<BqfffB")
_FIELD = (2, ROWS, COLUMNS)
_SHAPES = ((LANES,), _FIELD, _FIELD)
_ENDS = np.cumsum([math.prod(shape) for shape in _SHAPES])
_COURSE_AT = _HEAD.size + 4 * int(_ENDS[-1])
_SIZE = _COURSE_AT + 2 * 2 * COURSE * WALLS
_LEAST = 0.99e-9
"""Seconds between two frames, which are told apart by nanoseconds; the first of a path has none before it."""
FARTHEST = 1e3
"""Half sides of the picture that a point may move by: no path that was ever measured comes near."""


@dataclass(frozen=True, slots=True)
class Trace:
    """One frame of the path, the course that was planned for it, and the crop that it was shown with."""

    time_ns: int
    point: Point
    course: Course
    room: float
    extent: float


@dataclass(frozen=True, slots=True)
class Resume:
    """Where a stream goes on: after which frame, and the path up to there, oldest first."""

    after_frame_id: int
    path: tuple[Trace, ...]


def packed(trace: Trace) -> bytes:
    """For the wire."""
    point, course = trace.point, trace.course
    head = _HEAD.pack(VERSION, trace.time_ns, point.seconds, trace.room, trace.extent, course.spacing)
    # Where next to no room is left a wall may be leaned on without an end; as a beginning, far is far enough.
    begin = np.clip([course.positions, course.walls], -FARTHEST, FARTHEST)
    values = np.concatenate([point.coefficients, point.moved, point.offset], None)
    return head + values.astype("<f4").tobytes() + begin.astype("<f2").tobytes()


def read(message: pb.Resume) -> Resume:
    """What the client brought along; a path in another form is left out. Raises InvalidArgument for a broken one."""
    if len(message.path) > KEPT:
        raise _broken(f"{len(message.path)} points, where {KEPT} are the most")
    path = _traces(message.path) if all(data[:1] == bytes([VERSION]) for data in message.path) else ()
    return Resume(message.after_frame_id, tuple(path))


def _traces(path: Sequence[bytes]) -> Iterable[Trace]:
    for data in path:
        if len(data) != _SIZE:
            raise _broken(f"a point of {len(data)} bytes, where {_SIZE} are due")
        _, time_ns, seconds, room, extent, apart = _HEAD.unpack_from(data)
        values = np.frombuffer(data, "<f4", int(_ENDS[-1]), _HEAD.size).astype(np.float64)
        course = np.frombuffer(data, "<f2", offset=_COURSE_AT).astype(np.float64)
        # Compared so that NaN fails, too.
        in_crop = 0 <= room <= MOST_CROPPED and 1 - MOST_CROPPED <= extent <= 1
        in_time = (seconds == 0 or _LEAST <= seconds <= REACH) and apart <= spacing(COARSEST)
        in_reach = bool(np.all(np.abs(values) <= FARTHEST) and np.all(np.abs(course) <= FARTHEST))
        if not (in_time and in_crop and in_reach):
            raise _broken("a point that is on no path")
        parts = (part.reshape(shape) for part, shape in zip(np.split(values, _ENDS[:-1]), _SHAPES, strict=True))
        coefficients, moved, offset = parts
        positions, walls = course.reshape(2, COURSE, WALLS)
        yield Trace(time_ns, Point(seconds, coefficients, moved, offset), Course(apart, positions, walls), room, extent)


def _broken(what: str) -> InvalidArgument:
    message = f"resume.path: {what}; send StabilizedFrame.path of the frames that came back last, as they came"
    return InvalidArgument("RESUME_PATH_BROKEN", message, field="resume.path")
