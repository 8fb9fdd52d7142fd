from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgimbal.server.channel import Channel, Closed


@given(st.integers(1, 4), st.lists(st.integers(), max_size=20))
def test_the_newest_stay(capacity, items):
    channel: Channel[int] = Channel(capacity)
    dropped = [old for item in items for old in channel.push_newest(item)]
    kept = []
    while (item := channel.try_get()) is not None:
        kept.append(item)
    assert dropped + kept == items
    assert len(kept) == min(capacity, len(items))


def test_a_full_channel_holds_its_writer():
    channel: Channel[int] = Channel(1)
    assert channel.try_put(1)
    assert not channel.try_put(2)
    writer = threading.Thread(target=channel.put, args=(2,))
    writer.start()
    assert channel.get() == 1
    assert channel.get() == 2
    writer.join()


@pytest.mark.parametrize("wait", ["get", "put"])
def test_close_wakes_who_waits(wait):
    channel: Channel[int] = Channel(1)
    if wait == "put":
        channel.put(0)
    ended = []

    def run() -> None:
        try:
            channel.get() if wait == "get" else channel.put(1)
        except Closed:
            ended.append(True)

    waiter = threading.Thread(target=run)
    waiter.start()
    channel.close()
    waiter.join()
    assert ended == [True]
    for use in (channel.get, channel.try_get, lambda: channel.put(1), lambda: channel.push_newest(1)):
        with pytest.raises(Closed):
            use()


def test_items_pass_in_order_between_threads():
    channel: Channel[int] = Channel(2)
    got: list[int] = []
    reader = threading.Thread(target=lambda: got.extend(channel.get() for _ in range(500)))
    reader.start()
    for i in range(500):
        channel.put(i)
    reader.join()
    assert got == list(range(500))
