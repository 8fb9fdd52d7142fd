"""Frames on their road: one in a stage at a time, never out of order, the last ones and the errors behind them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from flowgimbal.server import road as module
from flowgimbal.server.channel import Closed
from flowgimbal.server.codecs.codec import RawFrame
from flowgimbal.server.errors import EngineFailure, Undecodable
from flowgimbal.server.job import End, Job
from flowgimbal.server.road import Belt, Road
from flowgimbal.server.stages import Stage
from flowgimbal.server.stream_config import StreamSettings
from flowgimbal.server.turns import Turns
from flowgimbal.v1 import stabilizer_pb2 as pb

LONG = 60.0


def frame(number: int) -> Job:
    raw = RawFrame(number, number, pb.ENCODING_JPEG, 0, 0, 0, b"")
    job = Job.of(raw, None, StreamSettings(), depends=False, key_frames_asked=0, replayed=False)
    job.due_ns = number
    return job


class Step:
    """A stage that does ``what`` with a job and passes it on; ``kept`` of the last ones wait until it is flushed."""

    on_cores = True

    def __init__(self, name: str, what: Callable[[Job], object] = lambda job: None, kept: int = 0) -> None:
        self.name, self.what, self.kept = name, what, kept
        self.waiting: list[Job] = []
        self.flushed = self.inside = self.most_inside = 0

    def work(self, job: Job) -> Iterator[Job]:
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        self.what(job)
        self.inside -= 1
        self.waiting.append(job)
        if len(self.waiting) > self.kept:
            yield self.waiting.pop(0)

    def flush(self) -> Iterator[Job]:
        while self.waiting:
            self.flushed += 1
            yield self.waiting.pop(0)


class Carriers:
    """Threads on a road through ``stages``."""

    def __init__(self, stages: Sequence[Stage], count: int, *, room: int = 100, turns: Turns | None = None) -> None:
        self.entry, self.exit = Belt(100), Belt(room)
        self.turns = turns or Turns(8)
        self.road = Road(stages, self.entry, self.exit, self.turns)
        self.threads = [threading.Thread(target=self._carry, daemon=True) for _ in range(count)]
        for thread in self.threads:
            thread.start()

    def _carry(self) -> None:
        with pytest.raises(Closed):
            self.road.carry()

    def ended(self) -> bool:
        for thread in self.threads:
            thread.join(LONG)
        return not any(thread.is_alive() for thread in self.threads)

    def arrived(self) -> tuple[list[int], End]:
        """The frames that came out, up to the end of the stream."""
        frames: list[int] = []
        while not isinstance(item := self.exit.get(), End):
            frames.append(item.frame_id)
        return frames, item


def test_frames_keep_their_order_and_each_stage_to_itself():
    steps = [Step("one"), Step("two"), Step("three")]
    carriers = Carriers(steps, 3)
    for number in range(90):
        carriers.entry.put(frame(number))
    carriers.entry.put(End())
    frames, end = carriers.arrived()
    assert frames == list(range(90))
    assert end.error is None
    assert carriers.ended()
    assert [step.most_inside for step in steps] == [1, 1, 1]


def test_who_has_left_a_stage_holds_its_door_until_it_is_in_the_next():
    in_third, let_go, fourth = threading.Event(), threading.Event(), threading.Event()

    def wait(job: Job) -> None:
        if job.frame_id == 0:
            in_third.set()
            assert let_go.wait(LONG)

    steps = [Step("one", lambda job: job.frame_id == 3 and fourth.set()), Step("two"), Step("three", wait)]
    carriers = Carriers(steps, 4)
    for number in range(4):
        carriers.entry.put(frame(number))
    assert in_third.wait(LONG)
    assert not fourth.wait(0.2)  # frames 1 and 2 are behind each other at the doors
    let_go.set()
    carriers.entry.put(End())
    assert carriers.arrived()[0] == [0, 1, 2, 3]
    assert carriers.ended()


def test_one_frame_is_in_the_first_stage_while_the_one_before_is_in_the_second():
    second_began = threading.Event()

    def wait(job: Job) -> None:
        if job.frame_id == 0:
            assert second_began.wait(LONG)

    carriers = Carriers([Step("one", lambda job: job.frame_id == 1 and second_began.set()), Step("two", wait)], 2)
    for item in (frame(0), frame(1), End()):
        carriers.entry.put(item)
    assert carriers.arrived()[0] == [0, 1]
    assert carriers.ended()


@pytest.mark.parametrize(
    ("error", "told", "flushed"),
    [
        (Undecodable("FRAME_UNDECODABLE", "data: no", field="data"), "FRAME_UNDECODABLE", [0, 1]),
        (EngineFailure("ENGINE_FAILURE", "no", stage="two"), "ENGINE_FAILURE", [0]),
        (ZeroDivisionError(), "INTERNAL", [0]),
    ],
)
def test_an_error_comes_behind_the_frames_before_it_and_nothing_behind_the_error(
    error: Exception, told: str, flushed: list[int]
) -> None:
    def fail(job: Job) -> None:
        if job.frame_id == 2:
            raise error

    carriers = Carriers([Step("one"), Step("two", fail), Step("three", kept=1)], 3)
    for number in range(3):
        carriers.entry.put(frame(number))
    frames, end = carriers.arrived()
    assert frames == flushed  # what waits in the third goes out as well if the error is the frame's own
    assert end.error is not None
    assert end.error.reason == told
    assert carriers.ended()
    with pytest.raises(Closed):
        carriers.entry.put(frame(3))


def test_frames_behind_a_failed_one_are_let_go():
    third_came = threading.Event()

    def fail(job: Job) -> None:
        if job.frame_id == 0:
            assert third_came.wait(LONG)
            raise EngineFailure("ENGINE_FAILURE", "no", stage="two")

    last = Step("three")
    carriers = Carriers([Step("one", lambda job: job.frame_id == 1 and third_came.set()), Step("two", fail), last], 3)
    for number in range(3):
        carriers.entry.put(frame(number))
    assert carriers.arrived()[0] == []
    assert carriers.ended()
    assert last.most_inside == 0


def test_what_waited_is_flushed_no_faster_than_it_goes_out():
    last = Step("one", kept=50)
    carriers = Carriers([last, Step("two")], 2, room=2)
    for number in range(50):
        carriers.entry.put(frame(number))
    carriers.entry.put(End())
    for number in range(50):
        item = carriers.exit.get()
        assert isinstance(item, Job)
        assert item.frame_id == number
        # Two on the belt, one that waits for room there, one ahead of it.
        assert last.flushed <= number + 1 + 4
    assert isinstance(carriers.exit.get(), End)
    assert carriers.ended()


def test_a_stage_that_hangs_holds_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.01)
    hangs, let_go = threading.Event(), threading.Event()

    def hang(_: Job) -> None:
        hangs.set()
        assert let_go.wait(LONG)

    carriers = Carriers([Step("one"), Step("two", hang)], 3)
    carriers.entry.put(frame(0))
    carriers.entry.put(frame(1))
    assert hangs.wait(LONG)
    carriers.road.close()
    while sum(thread.is_alive() for thread in carriers.threads) > 1:
        assert not let_go.wait(0.001)
    assert carriers.road.at_work == ["two"]
    let_go.set()
    assert carriers.ended()
    assert carriers.turns._free == 8


class Counted(Turns):
    """Counts how often a turn was waited for."""

    taken = 0

    def take(self, due_ns: int) -> None:
        self.taken += 1
        super().take(due_ns)


def test_a_frame_takes_one_turn_for_all_its_stages():
    turns = Counted(2)
    carriers = Carriers([Step("one"), Step("two"), Step("three")], 1, turns=turns)
    for number in range(5):
        carriers.entry.put(frame(number))
    carriers.entry.put(End())
    assert carriers.arrived()[0] == [0, 1, 2, 3, 4]
    assert carriers.ended()
    assert turns.taken == 5


def test_who_waits_for_a_door_or_for_room_has_no_turn():
    turns, let_go, patient = Turns(2), threading.Event(), threading.Event()
    last = Step("two", lambda job: job.frame_id > 0 or let_go.wait(LONG))
    carriers = Carriers([Step("one"), last], 2, room=1, turns=turns)
    carriers.entry.put(frame(0))
    carriers.entry.put(frame(1))
    while turns._free < 1 or not (last.inside and carriers.road._doors[0].locked() and not len(carriers.entry)):
        assert not patient.wait(0.001)
    let_go.set()
    carriers.entry.put(frame(2))
    while not carriers.exit._not_full._waiters:  # one frame is out, the next waits for room
        assert not patient.wait(0.001)
    while turns._free < 2:
        assert not patient.wait(0.001)
    carriers.road.close()
    assert carriers.ended()
    assert turns._free == 2


def test_more_of_a_stage_than_one_frame_has_a_turn_too():
    turns, free = Turns(1), []

    class Many(Step):
        def work(self, job: Job) -> Iterator[Job]:
            for number in range(5):
                free.append(turns._free)
                yield frame(number)

    carriers = Carriers([Many("one"), Step("two")], 2, turns=turns)
    carriers.entry.put(frame(0))
    carriers.entry.put(End())
    assert carriers.arrived()[0] == [0, 1, 2, 3, 4]
    assert free == [0] * 5
    assert carriers.ended()
    assert turns._free == 1


def test_nothing_comes_into_a_stage_that_was_left_half_way():
    behind, seen = threading.Event(), []

    class Half(Step):
        def work(self, job: Job) -> Iterator[Job]:
            seen.append(job.frame_id)
            yield job
            yield job

    def fail(_: Job) -> None:
        assert behind.wait(LONG)
        raise EngineFailure("ENGINE_FAILURE", "no", stage="three")

    first = Step("one", lambda job: job.frame_id == 1 and behind.set())
    carriers = Carriers([first, Half("two"), Step("three", fail)], 2)
    carriers.entry.put(frame(0))
    carriers.entry.put(frame(1))
    assert carriers.arrived()[1].error is not None
    assert carriers.ended()
    assert seen == [0]


def test_even_what_is_no_ordinary_error_ends_the_stream():
    def panic(_: Job) -> None:
        raise BaseException("a panic of a library")

    carriers = Carriers([Step("one", panic)], 2)
    carriers.entry.put(frame(0))
    frames, end = carriers.arrived()
    assert frames == []
    assert end.error is not None
    assert end.error.reason == "INTERNAL"
    assert carriers.ended()


def test_a_frame_keeps_its_turn_but_not_on_a_card():
    turns = Turns(1)
    free: dict[str, int] = {}
    card = Step("card", lambda _: free.update(card=turns._free))
    card.on_cores = False
    core = [Step(name, lambda _, name=name: free.update({name: turns._free})) for name in ("one", "three")]
    carriers = Carriers([core[0], card, core[1]], 1, turns=turns)
    for item in (frame(0), frame(1), End()):
        carriers.entry.put(item)
    assert carriers.arrived()[0] == [0, 1]
    assert carriers.ended()
    assert free == {"one": 0, "card": 1, "three": 0}
    assert turns._free == 1


def test_who_waits_for_a_frame_has_no_turn():
    turns, patient = Turns(1), threading.Event()
    carriers = Carriers([Step("one", kept=1)], 1, turns=turns)
    carriers.entry.put(frame(0))  # it goes no further
    while len(carriers.entry) or not carriers.entry._not_empty._waiters:
        assert not patient.wait(0.001)
    assert turns._free == 1
    carriers.road.close()
    assert carriers.ended()
