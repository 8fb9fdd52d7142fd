from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from flowgimbal.engines.engine import EngineError
from flowgimbal.engines.gpu.batcher import Batcher


class Work:
    """Doubles numbers; each call waits until it is let go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.begun = threading.Semaphore(0)
        self.go = threading.Semaphore(0)

    def __call__(self, items: list[int]) -> list[int]:
        self.batches.append(items)
        self.begun.release()
        assert self.go.acquire(timeout=30)
        if 13 in items:
            raise EngineError("thirteen")
        return [2 * item for item in items]


def test_who_comes_while_a_call_is_under_way_is_in_the_next() -> None:
    work = Work()
    batcher: Batcher[int, int] = Batcher(work, limit=4)
    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(batcher, 1)
        assert work.begun.acquire(timeout=30)
        rest = [threads.submit(batcher, item) for item in range(2, 8)]
        while len(batcher._queue) < 6:
            pass
        for _ in range(3):
            work.go.release()
        assert first.result() == 2
        assert sorted(each.result() for each in rest) == [4, 6, 8, 10, 12, 14]
    assert [len(batch) for batch in work.batches] == [1, 4, 2]
    batcher.close()


def test_items_of_another_kind_are_not_mixed_in() -> None:
    work = Work()
    batcher: Batcher[int, int] = Batcher(work, limit=4)
    with ThreadPoolExecutor(8) as threads:
        done = [threads.submit(batcher, 0)]
        assert work.begun.acquire(timeout=30)
        done += [threads.submit(batcher, item, item % 2) for item in range(2, 8)]
        while len(batcher._queue) < 6:
            pass
        for _ in range(3):
            work.go.release()
        assert sorted(each.result() for each in done) == [0, 4, 6, 8, 10, 12, 14]
    assert all(len({item % 2 for item in batch}) == 1 for batch in work.batches[1:])
    assert [len(batch) for batch in work.batches] == [1, 3, 3]
    batcher.close()


def test_the_one_that_fails_fails_alone() -> None:
    work = Work()
    batcher: Batcher[int, int] = Batcher(work, limit=4)
    for _ in range(9):
        work.go.release()
    held = threading.Barrier(3)

    def ask(item: int) -> int:
        held.wait()
        return batcher(item)

    with ThreadPoolExecutor(3) as threads:
        done = {item: threads.submit(ask, item) for item in (5, 13, 6)}
        assert (done[5].result(), done[6].result()) == (10, 12)
        with pytest.raises(EngineError, match="thirteen"):
            done[13].result()
    batcher.close()


def test_what_was_asked_before_the_end_is_answered_and_nothing_after() -> None:
    work = Work()
    batcher: Batcher[int, int] = Batcher(work, limit=4)
    with ThreadPoolExecutor(3) as threads:
        asked = threads.submit(batcher, 1)
        assert work.begun.acquire(timeout=30)
        closing = threads.submit(batcher.close)
        work.go.release()
        assert asked.result() == 2
        closing.result()
    with pytest.raises(EngineError, match="the engine is closed"):
        batcher(2)


def test_a_single_stream_is_served_in_its_own_thread_and_leads_again() -> None:
    threads: list[int] = []

    def work(items: list[int]) -> list[int]:
        threads.append(threading.get_ident())
        return items

    batcher: Batcher[int, int] = Batcher(work, limit=4)
    assert [batcher(item) for item in range(3)] == [0, 1, 2]
    assert threads == [threading.get_ident()] * 3
    batcher.close()


def test_a_hundred_streams_get_their_own_answers() -> None:
    sizes = []

    def work(items: list[int]) -> list[int]:
        sizes.append(len(items))
        time.sleep(1e-4)  # others come meanwhile
        if any(item % 97 == 0 for item in items):
            raise EngineError("ninety-seven")
        return [3 * item for item in items]

    batcher: Batcher[int, int] = Batcher(work, limit=16)
    together = threading.Barrier(100)

    def alone(number: int) -> list[int | str]:
        together.wait()
        answers: list[int | str] = []
        for step in range(50):
            try:
                answers.append(batcher(100 * number + step))
            except EngineError as error:
                answers.append(str(error))
        return answers

    with ThreadPoolExecutor(100) as threads:
        for number, answers in enumerate(threads.map(alone, range(100))):
            asked = [100 * number + step for step in range(50)]
            assert answers == ["ninety-seven" if item % 97 == 0 else 3 * item for item in asked]
    assert 1 < max(sizes) <= 16
    batcher.close()


def test_an_interrupt_ends_the_call_that_it_hits_and_no_other_waits_for_ever() -> None:
    begun, go = threading.Event(), threading.Event()

    def work(items: list[int]) -> list[int]:
        if 13 in items:
            begun.set()
            assert go.wait(30)
            raise KeyboardInterrupt
        return items

    batcher: Batcher[int, int] = Batcher(work, limit=4)
    with ThreadPoolExecutor(4) as threads:
        interrupted = threads.submit(batcher, 13)
        assert begun.wait(30)
        after = [threads.submit(batcher, item) for item in (1, 2, 3)]
        while len(batcher._queue) < 3:
            pass
        go.set()
        with pytest.raises(KeyboardInterrupt):
            interrupted.result()
        assert [each.result(30) for each in after] == [1, 2, 3]
    batcher.close()


def test_who_shares_a_batch_with_an_interrupted_leader_is_told() -> None:
    work = Work()

    def interrupted(items: list[int]) -> list[int]:
        if len(work(items)) > 1:
            raise KeyboardInterrupt
        return items

    batcher: Batcher[int, int] = Batcher(interrupted, limit=4)
    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(batcher, 1)
        assert work.begun.acquire(timeout=30)
        pair = [threads.submit(batcher, item) for item in (2, 3)]
        while len(batcher._queue) < 2:
            pass
        for _ in range(3):
            work.go.release()
        assert first.result(30) == 1
        assert sorted(type(each.exception(30)).__name__ for each in pair) == ["EngineError", "KeyboardInterrupt"]
        assert batcher(4) == 4
    batcher.close()
