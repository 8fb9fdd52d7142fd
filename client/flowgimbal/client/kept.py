"""Frames that were sent and may have to be sent again: bounded, pure."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import takewhile

from flowgimbal.client.key import depends, is_key
from flowgimbal.client.settings import encoding_from_proto
from flowgimbal.v1 import stabilizer_pb2 as pb

LIVE_FRAMES = 8
"""Pictures on their own that a live stream sends again, besides the look-ahead's: older ones nobody waits for."""
MAX_REORDERED = 32
"""Frames that may overtake one on its way back, with room to spare: pictures return in the order of presentation.

By that order a unit taken earlier than one that came back is lost. But units with B-frames may bear the times of their
sending, so it may still come until so many follow it, or another server has the stream.
"""
MOST_FRAMES = 1200
MOST_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class _Item:
    request: pb.StreamRequest
    number: int
    size: int
    key: bool


@dataclass(frozen=True, slots=True)
class _Out:
    """A frame that has not come back: its place among all that were put, and when it was taken."""

    place: int
    time_ns: int
    still: bool


class Kept:
    """The frames of one stream, in order; ``next`` and ``rewind`` say which are to be sent.

    Of those that came back the newest is kept, so that a server can measure how the picture moves on from there, and
    with encodings whose frames depend on others all from a key frame on.
    """

    def __init__(self, *, lossless: bool, latency_frames: int = 0) -> None:
        self._lossless = lossless
        self._stills = LIVE_FRAMES + latency_frames
        self._items: deque[_Item] = deque()
        self._bytes = 0
        self._cursor = 0
        self._count = 0
        self._out: dict[int, _Out] = {}  # by number, in order
        self._overtaken: dict[int, _Out] = {}  # most likely lost, and yet they may come
        self._last: int | None = None  # of those that were put
        self._newest: int | None = None  # of those that came back
        self._lost = 0

    @property
    def lost(self) -> int:
        """Frames that will not come back: others did that follow them, or there are too many."""
        return self._lost + len(self._overtaken)

    @property
    def returned(self) -> int | None:
        """The frame_id up to which all came back that will; None before the first."""
        if self._newest is None:
            return None
        last = min(self._newest, next(iter(self._out)) - 1) if self._out else self._newest
        return last if last >= 0 else None

    @property
    def waiting(self) -> int:
        """Frames that have not come back."""
        return len(self._out)

    @property
    def unsent(self) -> int:
        """Frames that ``next`` has still to give."""
        return len(self._items) - self._cursor

    @property
    def whole(self) -> bool:
        """Whether a decoder can begin with the oldest frame: else it was let go, there were too many."""
        return not self._items or self._items[0].key

    def knows(self, number: int) -> bool:
        """Whether a frame of that number may have been sent."""
        return self._last is not None and number <= self._last

    def put(self, request: pb.StreamRequest) -> None:
        """A new frame. The oldest are let go of if they are too many, of a lossless stream those that came back."""
        frame = request.frame
        encoding, data = encoding_from_proto(frame.encoding), frame.data
        still = encoding is None or not depends(encoding)
        self._items.append(_Item(request, frame.frame_id, len(data), encoding is None or is_key(data, encoding)))
        self._out[frame.frame_id] = _Out(self._count, frame.capture_time_ns, still)
        self._count += 1
        self._last = frame.frame_id
        self._bytes += len(data)
        if not self._lossless and len(self._out) > MOST_FRAMES:
            self._lose(next(iter(self._out)))
        while self._items[0].number < frame.frame_id and (
            self._bytes > MOST_BYTES
            or len(self._items) > (self._stills if still and not self._lossless else MOST_FRAMES)
        ):
            if self._lossless and self._items[0].number in self._out:
                return
            self._forget(1)

    def next(self) -> pb.StreamRequest:
        """The oldest frame that was not sent."""
        self._cursor += 1
        return self._items[self._cursor - 1].request

    def rewind(self) -> None:
        """To another server all have to be sent, from whom nothing comes back that others overtook at the last one."""
        self._cursor = 0
        self._lost += len(self._overtaken)
        self._overtaken.clear()

    def came_back(self, number: int) -> bool:
        """Frame ``number`` came back; False if it did before, or was lost."""
        back = self._out.pop(number, None) or self._overtaken.pop(number, None)
        if back is None:
            return False
        self._newest = number if self._newest is None else max(number, self._newest)
        if not self._lossless:
            self._overtake(number, back)
        start = 0
        for index, item in enumerate(self._items):
            if item.number > (self.returned or 0):
                break
            if item.key:
                start = index
        self._forget(start)
        return True

    def _overtake(self, number: int, by: _Out) -> None:
        for earlier, out in [*self._overtaken.items(), *takewhile(lambda item: item[0] < number, self._out.items())]:
            if out.still or out.place + MAX_REORDERED < by.place:
                self._lose(earlier)
            elif out.time_ns < by.time_ns and earlier in self._out:
                self._overtaken[earlier] = self._out.pop(earlier)

    def _lose(self, number: int) -> None:
        self._out.pop(number, None)
        self._overtaken.pop(number, None)
        self._lost += 1

    def _forget(self, count: int) -> None:
        for _ in range(count):
            self._bytes -= self._items.popleft().size
        self._cursor = max(0, self._cursor - count)
