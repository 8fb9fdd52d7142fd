from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgimbal.server.errors import InvalidArgument
from flowgimbal.server.session import Session, State

events = st.one_of(
    st.just(("config",)),
    st.tuples(st.just("frame"), st.integers(0, 2**64 - 1)),
    st.tuples(st.just("frame"), st.integers(0, 5)),
    st.just(("close",)),
)


@given(st.lists(events, max_size=30))
def test_protocol_against_a_model(sequence):
    """Whatever a client sends: accepted exactly when the contract says so, and the counters follow."""
    session = Session(10, 0)
    configured = closed = False
    accepted: list[int] = []
    for event in sequence:
        kind = event[0]
        if kind == "close":
            session.close()
            closed = True
            continue
        if kind == "config":
            legal = not configured and not closed
        else:
            legal = configured and not closed and (not accepted or event[1] > accepted[-1])
        try:
            session.configure(0) if kind == "config" else session.receive(event[1], 0)
        except InvalidArgument:
            assert not legal
        else:
            assert legal
            if kind == "config":
                configured = True
            else:
                accepted.append(event[1])
    assert session.counters.received == len(accepted)
    assert session.state is (State.CLOSED if closed else State.STREAMING if configured else State.OPEN)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 3)), max_size=20))
def test_restarts_are_the_changes_of_size(sizes):
    session = Session(10, 0)
    changes = [session.resize(size) for size in sizes]
    assert changes == [False, *(a != b for a, b in itertools.pairwise(sizes))][: len(sizes)]
    assert session.counters.restarts == sum(changes)


@given(st.integers(1, 10**12), st.lists(st.integers(0, 10**12), max_size=10))
def test_idle_time_runs_from_the_last_input(timeout, waits):
    now = 0
    session = Session(timeout, now)
    session.configure(now)
    for frame_id, wait in enumerate(waits):
        now += wait
        assert session.idle_left_ns(now) == max(0, timeout - wait)
        session.receive(frame_id, now)
        assert session.idle_left_ns(now) == timeout


def test_drops_and_returns_are_counted():
    session = Session(10, 0)
    session.configure(0)
    for frame_id in range(5):
        session.receive(frame_id, 0)
    session.drop(2)
    session.give_back()
    assert (session.counters.received, session.counters.dropped, session.counters.returned) == (5, 2, 1)


def test_refusals_say_what_to_do():
    session = Session(10, 0)
    with pytest.raises(InvalidArgument, match=r"send StreamRequest\.config first"):
        session.receive(1, 0)
    session.configure(0)
    session.receive(7, 0)
    with pytest.raises(InvalidArgument, match="ids must increase") as caught:
        session.receive(7, 0)
    assert caught.value.metadata["last_frame_id"] == "7"
    assert "0.5 s" in Session(500_000_000, 0).timed_out().message
