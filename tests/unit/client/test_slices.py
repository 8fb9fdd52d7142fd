"""Key pictures whose slices come one by one."""

from __future__ import annotations

import pytest

from flowgimbal.client import Encoding
from flowgimbal.client.sources.slices import in_one_piece
from flowgimbal.client.sources.unit import Klv, Unit


def unit(data: str, time_ns: int | None, key: bool = False, klv: tuple[Klv, ...] | None = None) -> Unit:
    return Unit(data.encode(), Encoding.H264, 64, 48, time_ns, key, klv=klv)


def joined(*units: Unit) -> list[str]:
    return [one.data.decode() for one in in_one_piece(units)]


def test_the_slices_of_a_key_picture_are_one_unit():
    key = [unit(slice_, 3, key=True) for slice_ in "abc"]
    assert joined(*key, unit("d", 4), unit("e", 5)) == ["abc", "d", "e"]
    (picture, *_) = in_one_piece([*key, unit("d", 4)])
    assert (picture.time_ns, picture.key) == (3, True)


def test_pictures_in_one_piece_are_left_alone():
    assert joined(unit("a", 1, key=True), unit("b", 2), unit("c", 3, key=True), unit("d", 4, key=True)) == list("abcd")


@pytest.mark.parametrize(("time_ns", "key"), [(None, True), (3, False)])
def test_a_field_and_a_unit_without_a_time_are_no_slices(time_ns, key):
    """The second field of an interlaced picture may have the first one's time; it is no key."""
    assert joined(unit("a", time_ns, key=True), unit("b", time_ns, key=key)) == ["a", "b"]


def test_only_where_slices_came_one_by_one_is_a_key_picture_held_back():
    taken: list[str] = []

    def source():
        for one in (unit("a", 1, key=True), unit("b", 2), unit("c", 3, key=True), unit("d", 4)):
            yield one
            taken.append(one.data.decode())

    for picture in in_one_piece(source()):
        if picture.data == b"c":
            assert taken == ["a", "b"]
    assert taken == list("abcd")


def test_slices_that_begin_later_on_are_joined_from_the_next_key_picture_on():
    """The first key picture of a dark scene may fit into one slice."""
    late = [unit("b", 2, key=True), unit("c", 2, key=True), unit("d", 3)]
    assert joined(unit("a", 1, key=True), *late, *(unit(s, 4, key=True) for s in "efg"), unit("h", 5)) == [
        *"abcd",
        "efg",
        "h",
    ]


def test_metadata_of_every_piece_goes_along():
    first, second = (Klv(0, data) for data in (b"1", b"2"))
    pieces = unit("a", 1, key=True, klv=(first,)), unit("b", 1, key=True, klv=(second,))
    (picture,) = in_one_piece(pieces)
    assert picture.klv == (first, second)
