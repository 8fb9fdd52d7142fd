"""The protocol of one stream, as a state machine: pure, without I/O, threads or a clock of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from flowgimbal.server.errors import InvalidArgument, TimedOut


class State(Enum):
    """Where a stream stands."""

    OPEN = "open"  # nothing received
    STREAMING = "streaming"  # configured, frames may come
    CLOSED = "closed"  # no more input: half-closed, draining or failed


@dataclass(frozen=True, slots=True)
class Counters:
    """What happened so far."""

    received: int = 0
    returned: int = 0
    dropped: int = 0
    restarts: int = 0  # changes of size

    @property
    def under_way(self) -> int:
        """Frames received that neither came back nor were dropped so far."""
        return self.received - self.returned - self.dropped


class Session:
    """Order, counts and idle time of one stream. Every method that takes input moves the idle time forward."""

    def __init__(self, idle_timeout_ns: int, now_ns: int) -> None:
        self._idle_timeout_ns = idle_timeout_ns
        self._last_input_ns = now_ns
        self._last_id: int | None = None
        self._size: tuple[int, int] | None = None
        self._state = State.OPEN
        self._counters = Counters()

    @property
    def state(self) -> State:
        """Where the stream stands."""
        return self._state

    @property
    def counters(self) -> Counters:
        """What happened so far."""
        return self._counters

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height of the frame received last [pixels]; None before the first."""
        return self._size

    def configure(self, now_ns: int) -> None:
        """The configuration came; raises InvalidArgument if it is not the first message."""
        self._last_input_ns = now_ns
        if self._state is not State.OPEN:
            message = "a second configuration came; open another stream for other settings"
            raise InvalidArgument("SECOND_CONFIG", message)
        self._state = State.STREAMING

    def tune(self, now_ns: int) -> None:
        """A change of settings came; raises InvalidArgument before the configuration."""
        self._last_input_ns = now_ns
        if self._state is not State.STREAMING:
            raise self._too_early()

    def receive(self, frame_id: int, now_ns: int, *, replayed: bool = False) -> None:
        """A frame came; raises InvalidArgument before the configuration and unless ``frame_id`` increases.

        One that is ``replayed`` counts for nothing.
        """
        self._last_input_ns = now_ns
        if self._state is State.OPEN:
            raise self._too_early()
        if self._state is State.CLOSED:
            raise InvalidArgument("STREAM_CLOSED", "a frame came after the end of the stream", frame_id=frame_id)
        if self._last_id is not None and frame_id <= self._last_id:
            raise InvalidArgument(
                "FRAME_ID_NOT_INCREASING",
                f"frame_id: {frame_id} came after {self._last_id}; ids must increase, gaps are fine",
                field="frame_id",
                frame_id=frame_id,
                last_frame_id=self._last_id,
            )
        self._last_id = frame_id
        self._counters = replace(self._counters, received=self._counters.received + (not replayed))

    def resize(self, size: tuple[int, int]) -> bool:
        """Note the size of the frame received last; True if it differs from the one before: the window restarts."""
        changed = self._size is not None and size != self._size
        self._size = size
        if changed:
            self._counters = replace(self._counters, restarts=self._counters.restarts + 1)
        return changed

    def drop(self, count: int = 1) -> None:
        """Frames received will not come back."""
        self._counters = replace(self._counters, dropped=self._counters.dropped + count)

    def give_back(self) -> None:
        """A frame goes back to the client."""
        self._counters = replace(self._counters, returned=self._counters.returned + 1)

    def close(self) -> None:
        """There will be no more input."""
        self._state = State.CLOSED

    def idle_left_ns(self, now_ns: int) -> int:
        """Time that the client has for its next message, 0 if none is left. Unit: nanoseconds."""
        return max(0, self._last_input_ns + self._idle_timeout_ns - now_ns)

    def _too_early(self) -> InvalidArgument:
        message = "the first message is not the configuration; send StreamRequest.config first"
        return InvalidArgument("FIRST_MESSAGE_NOT_CONFIG", message)

    def timed_out(self, what: str = "no frame came") -> TimedOut:
        """The error that ends an idle stream."""
        seconds = self._idle_timeout_ns / 1e9
        return TimedOut(
            "IDLE_TIMEOUT",
            f"{what} for {seconds:g} s; half-close a stream that is done, reconnect to go on",
            idle_timeout_seconds=seconds,
        )
