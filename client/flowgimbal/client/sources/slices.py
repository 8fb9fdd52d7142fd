"""Key pictures in one piece, whatever stands between their slices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from flowgimbal.client.sources.unit import Unit


def in_one_piece(units: Iterable[Unit]) -> Iterator[Unit]:
    """The units, those joined that are slices of one key picture: they have one time.

    GStreamer's payloaders, told to send the parameter sets along (config-interval=-1), repeat them before each slice of
    a key picture, and FFmpeg's parser takes every such place for the beginning of another picture. To see whether more
    of one follows is to wait for the next: that is done for the first key picture, and for others only where the one
    before was in pieces. There it costs no time, because the parser gives the last piece out no sooner.
    """
    held: Unit | None = None
    before: Unit | None = None
    in_pieces = True
    for unit in units:
        more = before is not None and _same_picture(before, unit)
        before = unit
        in_pieces = in_pieces or more
        if held is not None:
            if more:
                held, in_pieces = _joined(held, unit), True
                continue
            yield held
            held = None
        if unit.key and in_pieces and not more:
            held, in_pieces = unit, False
        else:
            yield unit
    if held is not None:
        yield held


def _same_picture(before: Unit, unit: Unit) -> bool:
    return before.key and unit.key and unit.time_ns is not None and unit.time_ns == before.time_ns


def _joined(first: Unit, rest: Unit) -> Unit:
    klv = None if first.klv is None else first.klv + (rest.klv or ())
    return replace(first, data=first.data + rest.data, klv=klv)
