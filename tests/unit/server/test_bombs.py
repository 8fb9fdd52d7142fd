"""Files that are small, and cost much to whoever believes them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from flowgimbal.server.codecs import jpeg_header
from flowgimbal.server.codecs.codec import RawFrame
from flowgimbal.server.codecs.table import CODECS, inspect
from flowgimbal.server.errors import Undecodable
from flowgimbal.v1 import stabilizer_pb2 as pb

MIB = 1 << 20


def raw(data: bytes) -> RawFrame:
    return RawFrame(1, 0, pb.ENCODING_JPEG, 0, 0, 0, data)


def jpeg(width: int = 64, height: int = 48, *options: int) -> bytes:
    return cv2.imencode(".jpg", np.full((height, width, 3), 128, np.uint8), options)[1].tobytes()


@pytest.mark.parametrize("filling", [b"\xff", b"\xff\xfe\x00\x02", b"\xff\xd0"], ids=["fill", "comments", "restarts"])
def test_a_header_of_megabytes_is_given_up_early(filling):
    plain = jpeg()
    few, many = (plain[:2] + filling * count + plain[2:] for count in (100, 16 * MIB))
    assert jpeg_header.parse(few).width == 64
    with pytest.raises(Undecodable, match="4096 segments"):
        jpeg_header.parse(many)  # byte by byte it would take seconds, where frames of all streams arrive


def test_scans_over_a_large_picture_are_counted():
    plain = jpeg(64, 48, cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    start, end = plain.rindex(b"\xff\xda"), plain.rindex(b"\xff\xd9")
    scans = plain.count(b"\xff\xda")

    def with_scans(count: int) -> bytes:
        return plain[:end] + plain[start:end] * (count - scans) + plain[end:]

    assert jpeg_header.parse(with_scans(jpeg_header.MAX_SCANS)).progressive
    with pytest.raises(Undecodable, match="10000 scans"):
        inspect(raw(with_scans(10_000)), 10**8)


def test_a_second_header_does_not_outgrow_the_first():
    plain = jpeg()
    start = plain.index(b"\xff\xc0")
    end = start + 2 + int.from_bytes(plain[start + 2 : start + 4], "big")
    larger = plain[start : start + 5] + (3000).to_bytes(2, "big") + (4000).to_bytes(2, "big") + plain[start + 9 : end]
    data = raw(plain[:end] + larger + plain[end:])
    assert inspect(data, 64 * 48) == (64, 48)
    with pytest.raises(Undecodable):
        CODECS[pb.ENCODING_JPEG].decoder(64 * 48).decode(data)


def test_a_picture_of_exactly_the_limit_is_read():
    data = raw(jpeg())
    assert inspect(data, 64 * 48) == (64, 48)
    (decoded,) = CODECS[pb.ENCODING_JPEG].decoder(64 * 48).decode(data)
    assert decoded.picture.size == (64, 48)
