from __future__ import annotations

import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given
from hypothesis import strategies as st

from flowgimbal.engines.picture import Layout, Picture, luma
from flowgimbal.server.codecs import jpeg_header
from flowgimbal.server.codecs.codec import PLAIN, EncoderSettings, RawFrame
from flowgimbal.server.codecs.convert import convert
from flowgimbal.server.codecs.raw import RawCodec, plane_rows
from flowgimbal.server.codecs.table import CODECS, inspect
from flowgimbal.server.errors import FrameTooLarge, InvalidArgument, Undecodable, Unsupported
from flowgimbal.server.stream_config import BIT_RATES
from flowgimbal.v1 import stabilizer_pb2 as pb


def smooth(width: int, height: int) -> np.ndarray:
    coarse = np.random.default_rng(3).integers(60, 200, (4, 6, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def raw(data: bytes, encoding: int = pb.ENCODING_JPEG, width: int = 0, height: int = 0, stride: int = 0) -> RawFrame:
    return RawFrame(1, 0, encoding, width, height, stride, data)


def decode(frame: RawFrame) -> Picture:
    inspect(frame, 10**8)
    (decoded,) = CODECS[frame.encoding].decoder(10**8).decode(frame)
    assert decoded.frame_id == frame.frame_id
    return decoded.picture


def encode(picture: Picture, encoding: int, quality: int = 90) -> bytes:
    return CODECS[encoding].encoder(EncoderSettings(quality)).encode(picture, PLAIN, 0)


@pytest.mark.parametrize("kind", ["420", "422", "440", "444", "411", "Gray"])
@pytest.mark.parametrize("size", [(64, 48), (65, 47), (1, 1), (17, 1)])
def test_jpeg_planes_are_those_of_libjpeg(kind, size):
    bgr = smooth(*size)
    if kind == "Gray":
        data = simplejpeg.encode_jpeg(np.ascontiguousarray(bgr[..., :1]), 95, "GRAY")
    else:
        data = simplejpeg.encode_jpeg(bgr, 95, "BGR", kind)
    picture = decode(raw(data))
    assert picture.size == size
    expected = simplejpeg.decode_jpeg(data, "GRAY")[..., 0]
    assert np.abs(luma(picture).astype(int) - expected).max() <= 2
    if size == (64, 48):
        expected = simplejpeg.decode_jpeg(data, "BGR")
        assert np.abs(convert(picture, Layout.BGR).planes[0].astype(int) - expected).mean() < 4
    again = encode(picture, pb.ENCODING_JPEG, 95)
    height, width, *_ = simplejpeg.decode_jpeg_header(again)
    assert (width, height) == size


def test_progressive_jpeg_is_read():
    data = cv2.imencode(".jpg", smooth(64, 48), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes()
    assert jpeg_header.parse(data).progressive
    assert decode(raw(data)).size == (64, 48)


def test_an_rgb_jpeg_takes_the_way_round():
    data = simplejpeg.encode_jpeg(smooth(64, 48), 95, "BGR", "444")
    # Component ids R, G, B in place of 1, 2, 3 say that the file holds no YCbCr.
    start = data.index(b"\xff\xc0")
    scan = data.index(b"\xff\xda")
    ids = bytearray(data)
    for i, name in enumerate(b"RGB"):
        ids[start + 10 + 3 * i] = name
        ids[scan + 5 + 2 * i] = name
    jfif = data.index(b"\xff\xe0")
    length = 2 + int.from_bytes(data[jfif + 2 : jfif + 4], "big")
    picture = decode(raw(bytes(ids[:jfif] + ids[jfif + length :])))
    assert picture.size == (64, 48)


# A progressive file that is cut between two scans and ended is whole; one that lacks its last dozen bytes and is ended
# passes FFmpeg: nobody cuts files so.
@pytest.mark.parametrize(("progressive", "end", "least"), [(0, b"", 3), (1, b"", 3), (0, b"\xff\xd9", 16)])
def test_a_cut_jpeg_is_undecodable_wherever_it_is_cut(progressive, end, least):
    data = cv2.imencode(".jpg", smooth(200, 120), [cv2.IMWRITE_JPEG_PROGRESSIVE, progressive])[1].tobytes()
    decoder = CODECS[pb.ENCODING_JPEG].decoder(10**8)

    def read(data: bytes) -> Picture:
        inspect(raw(data), 10**8)
        (decoded,) = decoder.decode(raw(data))
        return decoded.picture

    for length in np.linspace(0, len(data) - least, 25).astype(int):
        with pytest.raises(Undecodable):
            read(data[:length] + end)
    assert read(data).size == (200, 120)


@given(st.binary(max_size=200))
def test_the_header_parser_survives_anything(tail):
    for data in (tail, b"\xff\xd8" + tail, b"\xff\xd8\xff\xc0" + tail):
        try:
            header = jpeg_header.parse(data)
        except (Undecodable, Unsupported):
            continue
        assert header.width > 0 < header.height


@given(st.integers(0, 2000), st.binary(min_size=1, max_size=30))
def test_a_damaged_jpeg_never_escapes_as_something_else(place, damage):
    data = bytearray(cv2.imencode(".jpg", smooth(64, 48))[1].tobytes())
    place %= len(data)
    data[place : place + len(damage)] = damage
    try:
        picture = decode(raw(bytes(data)))
    except (Undecodable, Unsupported, FrameTooLarge):
        return
    assert picture.planes[0].size


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 20), st.sampled_from(list(Layout)))
def test_planes_cover_the_data_without_overlap(width, height, padding, layout):
    packed = plane_rows(layout, width, height, 0)
    padded = plane_rows(layout, width, height, packed[0].stride + padding)
    for tight, wide in zip(packed, padded, strict=True):
        assert (tight.rows, tight.used) == (wide.rows, wide.used)
        assert tight.stride >= tight.used
        assert wide.stride >= wide.used


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 20), st.data())
def test_raw_round_trip_drops_the_padding_alone(width, height, padding, data):
    encoding = data.draw(st.sampled_from([e for e, codec in CODECS.items() if isinstance(codec, RawCodec)]))
    codec = CODECS[encoding]
    tight = codec.decoder(10**8)._layout
    packed = plane_rows(tight, width, height, 0)
    padded = plane_rows(tight, width, height, packed[0].stride + padding)
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, 255, (p.rows, p.used), dtype=np.uint8) for p in packed]
    wide = [np.pad(r, ((0, 0), (0, p.stride - p.used))) for r, p in zip(rows, padded, strict=True)]
    frame = raw(b"".join(w.tobytes() for w in wide), encoding, width, height, padded[0].stride)
    assert encode(decode(frame), frame.encoding) == b"".join(r.tobytes() for r in rows)


def test_raw_planes_are_views():
    frame = raw(bytes(96), pb.ENCODING_I420, 8, 8)
    assert not any(plane.flags.owndata for plane in decode(frame).planes)


@pytest.mark.parametrize("layout", list(Layout))
@pytest.mark.parametrize("other", list(Layout))
@pytest.mark.parametrize("size", [(16, 12), (15, 11)])
def test_conversion_keeps_the_picture(layout, other, size):
    bgr = Picture(Layout.BGR, (smooth(*size),))
    picture = convert(bgr, layout)
    there = convert(picture, other)
    assert there.layout is other
    assert there.size == size
    assert np.abs(luma(there).astype(int) - luma(bgr)).max() <= 6
    if Layout.GRAY not in (layout, other):
        assert np.abs(convert(there, Layout.BGR).planes[0].astype(int) - bgr.planes[0]).mean() < 12


@pytest.mark.parametrize("size", [(15, 64), (64, 15), (1, 1)])
def test_a_picture_too_small_for_the_encoder_is_the_clients_affair(size):
    picture = Picture(Layout.BGR, (smooth(*size),))
    with pytest.raises(InvalidArgument, match=r"H\.265 takes pictures of 16x16 and more") as caught:
        encode(picture, pb.ENCODING_HEVC)
    assert caught.value.reason == "PICTURE_TOO_SMALL"
    assert encode(picture, pb.ENCODING_H264)


@pytest.mark.parametrize("encoding", [pb.ENCODING_H264, pb.ENCODING_HEVC])
@pytest.mark.parametrize("size", [(16, 16), (33, 17)])
@pytest.mark.parametrize("bit_rate", BIT_RATES)
def test_every_bit_rate_is_taken_for_every_size(encoding, size, bit_rate):
    encoder = CODECS[encoding].encoder(EncoderSettings(90, bit_rate))
    decoder = CODECS[encoding].decoder(10**6)
    data = encoder.encode(Picture(Layout.BGR, (smooth(*size),)), PLAIN, 0)
    (decoded,) = decoder.decode(raw(data, encoding))
    assert decoded.picture.size == size


def test_refusals(monkeypatch):
    with pytest.raises(FrameTooLarge):
        inspect(raw(b"", pb.ENCODING_GRAY8, 20_000, 1), 10**8)
    with pytest.raises(FrameTooLarge):
        inspect(raw(b"", pb.ENCODING_GRAY8, 101, 100), 100 * 100)
    with pytest.raises(InvalidArgument, match="set it in every frame"):
        inspect(raw(b"", 0), 100)
    monkeypatch.delitem(CODECS, pb.ENCODING_HEVC)
    with pytest.raises(Unsupported, match="ENCODING_HEVC"):
        inspect(raw(b"", pb.ENCODING_HEVC), 100)
