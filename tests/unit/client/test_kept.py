from __future__ import annotations

from flowgimbal.client.kept import LIVE_FRAMES, MAX_REORDERED, MOST_BYTES, MOST_FRAMES, Kept
from flowgimbal.v1 import stabilizer_pb2 as pb

KEY, REST = b"\0\0\1\x65data", b"\0\0\1\x41data"  # H.264: a slice of a key frame, and of another


def still(number: int, size: int = 10) -> pb.StreamRequest:
    return pb.StreamRequest(frame=pb.Frame(frame_id=number, encoding=pb.ENCODING_JPEG, data=bytes(size)))


def unit(number: int, data: bytes = REST, time_ns: int = 0) -> pb.StreamRequest:
    frame = pb.Frame(frame_id=number, encoding=pb.ENCODING_H264, data=data, capture_time_ns=time_ns)
    return pb.StreamRequest(frame=frame)


def sent_again(kept: Kept) -> list[int]:
    kept.rewind()
    return [kept.next().frame.frame_id for _ in range(kept.unsent)]


def test_a_lossless_stream_keeps_what_has_not_come_back_and_the_one_before():
    kept = Kept(lossless=True)
    for number in range(0, 100, 10):
        kept.put(still(number))
    assert kept.returned is None
    assert [kept.came_back(number) for number in (0, 10, 20, 20, 10, 25)] == [True, True, True, False, False, False]
    assert sent_again(kept) == list(range(20, 100, 10))
    assert (kept.returned, kept.waiting, kept.lost, kept.unsent) == (20, 7, 0, 0)


def test_units_are_kept_from_a_key_frame_on():
    kept = Kept(lossless=True)
    for number in range(30):
        kept.put(unit(number, b"" if number < 0 else KEY if number % 10 == 0 else REST))
    for number in range(16):
        kept.came_back(number)
    assert sent_again(kept) == list(range(10, 30))
    assert kept.whole


def test_a_live_stream_keeps_the_newest_and_knows_what_is_lost():
    kept = Kept(lossless=False, latency_frames=2)
    for number in range(50):
        kept.put(still(number))
    assert sent_again(kept) == list(range(50 - LIVE_FRAMES - 2, 50))
    assert kept.came_back(45)
    assert (kept.returned, kept.lost, kept.waiting) == (45, 45, 4)
    assert sent_again(kept) == [45, 46, 47, 48, 49]


def test_units_overtake_each_other_on_their_way_back():
    kept = Kept(lossless=False)
    for number in range(100):
        kept.put(unit(number, KEY if number == 0 else REST))
    for number in (0, 2, 1, 4):
        assert kept.came_back(number)
    assert (kept.returned, kept.lost) == (2, 0)  # 3 may still come
    assert kept.came_back(99)
    assert kept.lost == 95 - MAX_REORDERED  # of 3 and 5 to 98
    assert not kept.came_back(10)
    assert kept.came_back(98)


def in_order(times: list[int]) -> Kept:
    """A live stream of units taken at these times, the first of them a key frame, and every tenth after it."""
    kept = Kept(lossless=False)
    for number, time_ns in enumerate(times):
        kept.put(unit(number, REST if number % 10 else KEY, time_ns))
    return kept


def test_units_that_a_live_server_dropped_are_counted_at_once():
    kept = in_order(list(range(40)))
    for number in (*range(8), 11, 12, *range(24, 30)):
        assert kept.came_back(number)
    assert (kept.lost, kept.returned, kept.waiting) == (3 + 11, 29, 10)
    assert sent_again(kept) == list(range(20, 40))  # and nothing older is kept


def test_what_was_dropped_before_a_server_was_lost_does_not_come_from_the_next():
    kept = in_order(list(range(40)))
    for number in (0, 1, 3):
        assert kept.came_back(number)
    kept.rewind()
    assert kept.returned == 3
    assert not kept.came_back(2)
    assert (kept.lost, kept.waiting) == (1, 36)


def test_pictures_with_b_frames_are_not_lost_where_their_order_changes():
    kept = in_order([0, 30, 10, 20, 60, 40, 50])
    for number in (0, 2, 3):
        assert kept.came_back(number)
        assert kept.lost == 0
    assert kept.came_back(5)  # without 1, which comes before it
    assert (kept.lost, kept.returned) == (1, 3)


def test_b_frames_with_the_times_of_their_sending_come_back_nevertheless():
    kept = in_order([0, 10, 20, 30])
    assert [kept.came_back(number) for number in (0, 2, 3, 1)] == [True] * 4
    assert (kept.lost, kept.waiting) == (0, 0)


def test_where_the_first_frame_has_not_come_back_nothing_is_replayed():
    kept = Kept(lossless=False)
    for number in range(4):
        kept.put(unit(number, KEY if number == 0 else REST))
    assert kept.came_back(1)
    assert kept.returned is None
    assert sent_again(kept) == [0, 1, 2, 3]


def test_what_is_kept_is_bounded():
    kept = Kept(lossless=False)
    for number in range(MOST_FRAMES + 100):
        kept.put(unit(number, KEY if number == 0 else REST))
    assert len(sent_again(kept)) == MOST_FRAMES
    assert not kept.whole
    assert (kept.waiting, kept.lost) == (MOST_FRAMES, 100)
    kept = Kept(lossless=True)
    large = MOST_BYTES // 8
    for number in range(20):
        kept.put(still(number, large))
        kept.came_back(number)
    assert sent_again(kept) == [19]
    for number in range(20, 30):  # nothing that has not come back is let go
        kept.put(still(number, large))
    assert sent_again(kept) == list(range(20, 30))
