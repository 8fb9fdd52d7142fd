"""The clock of a live source, and what is kept of it for a new server."""

from __future__ import annotations

import threading
from dataclasses import replace

from flowgimbal.client import Encoding
from flowgimbal.client.live import backlog as backlogs
from flowgimbal.client.live.backlog import Backlog
from flowgimbal.client.live.clock import JUMP_NS, SourceClock
from flowgimbal.client.sources.pace import paced
from flowgimbal.client.sources.unit import Unit

S = 1_000_000_000


def unit(number: int, key: bool = True, time_ns: int | None = None) -> Unit:
    return Unit(bytes([number]), Encoding.H264, 64, 48, time_ns, key)


def test_the_clock_is_the_sources_own_while_it_runs_on():
    clock = SourceClock()
    times = [5 * S, 5 * S + 40_000_000, 5 * S + 20_000_000, 6 * S]  # with pictures out of order
    assert [clock.stamp(t, now) for now, t in enumerate(times)] == times


def test_a_restarted_clock_goes_on_where_it_was():
    clock = SourceClock()
    clock.stamp(90 * S, 1 * S)
    clock.restart()
    assert clock.stamp(0, 4 * S) == 93 * S
    assert clock.stamp(1 * S, 5 * S) == 94 * S


def test_a_jump_is_bridged_by_the_time_that_passed():
    clock = SourceClock()
    clock.stamp(0, 0)
    assert clock.stamp(JUMP_NS + 2, S // 25) == S // 25
    assert clock.stamp(JUMP_NS + 2 + S, 2 * S) == S // 25 + S
    assert clock.stamp(None, 3 * S) == S // 25 + 2 * S


def test_units_without_a_time_get_this_machines():
    clock = SourceClock()
    assert [clock.stamp(None, now) for now in (7, 9, 9)] == [7, 9, 10]


def test_recorded_units_are_held_back_until_their_time():
    now, slept = [100 * S], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += round(seconds * 1e9)

    times = [0, None, S // 2, S // 4, S]
    units = [unit(number, time_ns=time_ns) for number, time_ns in enumerate(times)]
    units[4] = replace(units[4], time_ns=9 * S, decode_ns=S)
    assert [u.data[0] for u in paced(units, lambda: now[0], sleep)] == [0, 1, 2, 3, 4]
    assert slept == [0.5, 0.5]


def test_the_backlog_holds_what_a_new_server_needs():
    woken: list[None] = []
    backlog = Backlog(lambda: woken.append(None))
    for number, key in enumerate([True, False, False]):
        backlog.put((number, unit(number, key)))
    assert [backlog.take() for _ in range(4)] == [(0, unit(0)), (1, unit(1, False)), (2, unit(2, False)), None]
    backlog.rewind()
    assert backlog.take() == (0, unit(0))
    backlog.put((3, unit(3)))
    assert backlog.take() == (3, unit(3))
    assert backlog.take() is None
    assert backlog.lost == 2
    assert not backlog.ended
    backlog.end()
    assert backlog.ended
    assert len(woken) == 5


def test_the_backlog_is_bounded_without_key_frames(monkeypatch):
    monkeypatch.setattr(backlogs, "MAX_UNITS", 3)
    backlog = Backlog(lambda: None)
    for number in range(6):
        backlog.put((number, unit(number, key=not number)))
        if number < 2:
            backlog.take()
    assert [backlog.take() for _ in range(4)] == [(3, unit(3, False)), (4, unit(4, False)), (5, unit(5, False)), None]
    assert backlog.lost == 1


def test_what_was_given_up_is_followed_by_a_key_frame():
    backlog = Backlog(lambda: None)
    backlog.put((0, unit(0)))
    backlog.put((1, unit(1, False)))
    backlog.take()
    backlog.skip()
    backlog.put((2, unit(2, False)))
    backlog.rewind()
    assert backlog.take() is None
    assert backlog.lost == 2
    backlog.put((3, unit(3)))
    backlog.put((4, unit(4, False)))
    assert [backlog.take(), backlog.take()] == [(3, unit(3)), (4, unit(4, False))]


def put_all(backlog: Backlog, count: int) -> threading.Thread:
    """Puts units from a thread of their own, a key frame at every tenth."""

    def put() -> None:
        for number in range(count):
            backlog.put((number, unit(number, key=number % 10 == 0)))
        backlog.end()

    thread = threading.Thread(target=put, daemon=True)
    thread.start()
    return thread


def test_a_lossless_backlog_holds_the_source_back_and_loses_nothing():
    news = threading.Event()
    backlog = Backlog(news.set, lossless=True)
    source = put_all(backlog, 60)
    taken = []
    while not backlog.ended:
        assert news.wait(30)
        news.clear()
        while stamped := backlog.take():
            taken.append(stamped[0])
            if taken[-1] == 25 and taken.count(25) == 1:
                backlog.rewind()  # another server: what it needs goes first
    source.join(30)
    assert taken == [*range(26), *range(20, 60)]
    assert backlog.lost == 0


def test_a_source_that_is_held_back_is_let_go():
    backlog = Backlog(lambda: None, lossless=True)
    source = put_all(backlog, 3)
    source.join(0.1)
    assert source.is_alive()
    assert backlog.waiting == 1
    backlog.let_go()
    source.join(30)
    assert not source.is_alive()


def test_a_source_is_not_held_back_over_what_was_given_up():
    backlog = Backlog(lambda: None, lossless=True)
    source = put_all(backlog, 12)
    while not backlog.waiting:
        assert source.is_alive()
    backlog.skip()
    source.join(0.1)
    assert source.is_alive()
    assert backlog.take() == (10, unit(10))
    source.join(30)
    assert backlog.take() == (11, unit(11, False))


def test_a_clock_that_steps_back_goes_on():
    clock = SourceClock()
    now = iter(range(0, 100 * S, S))
    assert [clock.stamp(t, next(now)) for t in (8 * S, 9 * S, 9 * S - S // 2, 0, S)] == [
        8 * S,
        9 * S,
        9 * S - S // 2,  # pictures may be reordered
        9 * S - S // 2 + S,  # another sender on the port
        9 * S - S // 2 + 2 * S,
    ]
    assert clock.stamp(1 << 63, 90 * S) < 1 << 62
