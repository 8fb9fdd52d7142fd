"""Turns to compute: so many at a time, the earliest first, and nobody waits for ever."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from flowgimbal.server.turns import Turn, Turns, places, quota

LONG = 60.0


class Worker(threading.Thread):
    """Takes one turn, notes its number in ``order``, and holds the turn until it is let go."""

    def __init__(self, turns: Turns, due_ns: int, order: list[int]) -> None:
        super().__init__(daemon=True)
        self.turns, self.due_ns, self.order = turns, due_ns, order
        self.has_it, self.let_go = threading.Event(), threading.Event()
        self.start()

    def run(self) -> None:
        with self.turns.turn(self.due_ns):
            self.order.append(self.due_ns)
            self.has_it.set()
            assert self.let_go.wait(LONG)


def waiting(turns: Turns, count: int) -> None:
    """Until so many threads wait for a turn."""
    settled = threading.Event()
    while len(turns._waiting) < count:
        assert not settled.wait(0.001)


def test_no_more_at_a_time_than_places_and_the_earliest_first():
    order: list[int] = []
    turns = Turns(2, LONG)
    running = [Worker(turns, due, order) for due in (9, 8)]
    for worker in running:
        assert worker.has_it.wait(LONG)
    late, early, middle = (Worker(turns, due, order) for due in (7, 1, 3))
    waiting(turns, 3)
    assert not early.has_it.is_set()
    running[0].let_go.set()
    assert early.has_it.wait(LONG)
    early.let_go.set()
    assert middle.has_it.wait(LONG)
    assert not late.has_it.is_set()
    middle.let_go.set()
    assert late.has_it.wait(LONG)
    assert sorted(order[:2]) == [8, 9]
    assert order[2:] == [1, 3, 7]
    for worker in (running[1], late):
        worker.let_go.set()


def test_a_turn_that_fails_is_given_back():
    turns = Turns(1, LONG)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), turns.turn(0):
            _ = 1 / 0
    with turns.turn(0):
        pass


def test_a_thread_that_hangs_holds_up_nobody_for_long():
    order: list[int] = []
    turns = Turns(1, 0.01)
    hung = Worker(turns, 0, order)
    assert hung.has_it.wait(LONG)
    others = [Worker(turns, due, order) for due in (1, 2)]
    for worker in others:
        assert worker.has_it.wait(LONG)
        worker.let_go.set()
        worker.join(LONG)
    hung.let_go.set()
    hung.join(LONG)
    # What was taken above the places is given back: one at a time again.
    patient = Turns.turn(turns, 0)
    with patient:
        assert turns._free == 0


def test_a_turn_is_kept_unless_one_that_came_before_waits():
    turns, order = Turns(1, LONG), []
    mine = Turn(turns)
    mine.take(5)
    later = Worker(turns, 7, order)
    waiting(turns, 1)
    mine.take(5)
    assert not later.has_it.is_set()
    earlier = Worker(turns, 3, order)
    waiting(turns, 2)
    earlier.let_go.set()
    mine.take(5)
    assert order == [3]
    mine.leave()
    mine.leave()
    assert later.has_it.wait(LONG)
    later.let_go.set()
    later.join(LONG)
    assert turns._free == 1


def test_there_is_a_place_more_than_cores():
    assert places() >= 2


@pytest.mark.parametrize(
    ("said", "cores"),
    [("200000 100000", 2), ("150000 100000", 2), ("5000 100000", 1), ("max 100000", sys.maxsize), ("", sys.maxsize)],
)
def test_a_container_has_the_cores_of_its_quota(tmp_path: Path, said: str, cores: int) -> None:
    (tmp_path / "cpu.max").write_text(said)
    assert quota(tmp_path / "cpu.max") == cores


def test_who_has_no_quota_has_all_cores(tmp_path: Path) -> None:
    assert quota(tmp_path / "none") == sys.maxsize
