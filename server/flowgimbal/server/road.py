"""The stages of one stream in a row, and how a thread carries a frame along them.

Each stage has one thread in it at a time. Who goes on to the next holds the door of the last until it has got in, so
that frames never overtake each other. A frame stays with its thread: with several streams each keeps to one, and
nothing is handed over; with one stream a second thread carries the next frame behind the first. Where several frames
come out of a stage at once, as out of a window at the end, its thread carries them all.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence

from flowgimbal.server.channel import Channel, Closed
from flowgimbal.server.errors import EngineFailure, StreamError, Undecodable
from flowgimbal.server.job import End, Job
from flowgimbal.server.stages import Stage
from flowgimbal.server.turns import Turn, Turns

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often a thread that waits at a door looks whether the road is closed: the one inside may hang in native code."""

Belt = Channel[Job | End]


class Road:
    """From ``entry`` through ``stages`` to ``exit``. Thread-safe."""

    def __init__(self, stages: Sequence[Stage], entry: Belt, exit_: Belt, turns: Turns) -> None:
        self._stages, self._entry, self._exit, self._turns = stages, entry, exit_, turns
        self._doors = [threading.Lock() for _ in range(len(stages) + 1)]  # of each stage, and of the exit
        self._over = [False] * len(stages)  # whether the stage has let the end of the stream through
        self._closed = False

    def carry(self) -> None:
        """One thread's life; raises Closed when there is nothing more to carry."""
        turn = Turn(self._turns)
        try:
            while True:
                turn.leave()
                self._enter(0, turn)
                self._go(self._next(), 0, turn)
        finally:
            turn.leave()

    def close(self) -> None:
        """Let go of every frame and end the threads; may be called again."""
        self._closed = True
        self._entry.close()
        self._exit.close()

    @property
    def at_work(self) -> list[str]:
        """The stages with a thread in them."""
        return [stage.name for stage, door in zip(self._stages, self._doors, strict=False) if door.locked()]

    def _next(self) -> Job | End:
        """What comes in next; the first door is held. Raises Closed."""
        try:
            return self._entry.get()
        except Closed:
            self._doors[0].release()
            raise

    def _enter(self, place: int, turn: Turn) -> None:
        """Wait for the door of a place, and hold it; raises Closed."""
        door = self._doors[place]
        if not door.acquire(blocking=False):
            turn.leave()
            while not door.acquire(timeout=LOOK_SECONDS):
                if self._closed:
                    raise Closed
        if self._closed or (place < len(self._stages) and self._over[place]):
            door.release()
            raise Closed

    def _go(self, item: Job | End, place: int, turn: Turn) -> None:
        """Carry an item from a place whose door is held, and is let go of, to the exit; raises Closed."""
        if place == len(self._stages):
            try:
                turn.leave()  # it may be long until there is room
                self._exit.put(item)
            finally:
                self._doors[place].release()
            return
        inside, results = True, self._work(place, item, turn)
        try:
            result = next(results, None)
            while result is not None:
                following = next(results, None)  # if there is none, the next frame may come in
                self._enter(place + 1, turn)
                if following is None:
                    inside = False
                    self._doors[place].release()
                self._go(result, place + 1, turn)
                result = following
        finally:
            if inside:
                self._doors[place].release()

    def _work(self, place: int, item: Job | End, turn: Turn) -> Iterator[Job | End]:
        """What a stage makes of an item; what was finished before it failed is the client's."""
        stage = self._stages[place]
        try:
            if isinstance(item, Job):
                if stage.on_cores:
                    turn.take(item.due_ns)
                else:
                    turn.leave()
                item.clock.lap("queue")
                for done in stage.work(item):
                    yield done
                    if stage.on_cores and not turn.held:  # it was left at the exit, and there may be more to do
                        turn.take(item.due_ns)
                return
            if item.flush:
                yield from stage.flush()
            yield self._end(place, item)
        # In no variable that outlives its block: error and frame would keep each other, and all that the stream holds.
        except Undecodable as error:
            yield self._end(place, End(error))
        except StreamError as error:
            yield self._end(place, End(error, flush=False))
        except GeneratorExit:  # the road is closed
            raise
        except BaseException:  # the last line of a thread: whatever it is, the client must learn of it
            logger.exception("the %s stage failed", stage.name)
            message = f"the {stage.name} stage failed; this is a fault of the server, whose log says more"
            yield self._end(place, End(EngineFailure("INTERNAL", message, stage=stage.name), flush=False))

    def _end(self, place: int, end: End) -> End:
        """Let nothing more into a stage that the end of the stream leaves, nor into those before it."""
        self._over[: place + 1] = [True] * (place + 1)
        self._entry.close()
        return end
