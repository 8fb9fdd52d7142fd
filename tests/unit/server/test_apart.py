"""Decoders in processes of their own: the same pictures, and what happens when one dies."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgimbal.engines.picture import Layout, Picture
from flowgimbal.server.codecs import answer, apart
from flowgimbal.server.codecs.codec import Attached, Decoded, EncoderSettings, RawFrame
from flowgimbal.server.codecs.colour import Colour
from flowgimbal.server.codecs.table import CODECS
from flowgimbal.server.errors import Undecodable, Unsupported
from flowgimbal.v1 import stabilizer_pb2 as pb

LIMIT = 1_000_000


@pytest.fixture(scope="module")
def deaths():
    return []


@pytest.fixture(scope="module")
def nursery(deaths):
    nursery = apart.Nursery(lambda: deaths.append(1))
    nursery.open()
    yield nursery
    nursery.close()


@pytest.fixture
def decoder(nursery):
    return apart.decoder(nursery, pb.ENCODING_JPEG, LIMIT)


def processes(nursery: apart.Nursery) -> list[psutil.Process]:
    return psutil.Process(nursery._process.pid).children()


def raw(data: bytes, frame_id: int = 1, encoding: int = pb.ENCODING_JPEG) -> RawFrame:
    return RawFrame(frame_id, 0, encoding, 0, 0, 0, data)


def jpeg(width: int = 64, height: int = 48) -> bytes:
    coarse = np.random.default_rng(3).integers(60, 200, (4, 6, 3), dtype=np.uint8)
    return cv2.imencode(".jpg", cv2.resize(coarse, (width, height)))[1].tobytes()


def units(count: int, encoding: int) -> list[bytes]:
    """Access units of a moving picture, with user data and tags of colour."""
    encoder = CODECS[encoding].encoder(EncoderSettings(90))
    found = []
    for number in range(count):
        plane = np.full((96, 128), 40 + number, np.uint8)
        picture = Picture(Layout.YUV, (plane, plane[::2, ::2].copy(), plane[::2, ::2].copy()), (2, 2))
        message = bytes((5, 17)) + bytes(range(16)) + bytes((number, 0x80))
        found.append(encoder.encode(picture, Attached(Colour(1, 1, 1, 1), (message,)), number * 40_000_000))
    return found


def same(one: Decoded, other: Decoded) -> bool:
    planes = zip(one.picture.planes, other.picture.planes, strict=True)
    return (one.frame_id, one.picture.layout, one.picture.chroma, one.attached) == (
        other.frame_id,
        other.picture.layout,
        other.picture.chroma,
        other.attached,
    ) and all(np.array_equal(a, b) for a, b in planes)


@pytest.mark.parametrize("size", [(64, 48), (65, 47), (1, 1), (1000, 1000)])
def test_a_still_is_what_it_is_elsewhere(decoder, size):
    (here,) = CODECS[pb.ENCODING_JPEG].decoder(LIMIT).decode(raw(jpeg(*size)))
    (there,) = decoder.decode(raw(jpeg(*size)))
    assert same(here, there)


@pytest.mark.parametrize("encoding", [pb.ENCODING_H264, pb.ENCODING_HEVC])
def test_video_is_what_it_is_elsewhere(nursery, encoding):
    decoders = CODECS[encoding].decoder(LIMIT), apart.decoder(nursery, encoding, LIMIT)
    found: list[list[Decoded]] = []
    for decoder in decoders:
        frames = [decoder.decode(raw(data, 7 + n, encoding)) for n, data in enumerate(units(6, encoding))]
        found.append([one for pictures in (*frames, decoder.flush()) for one in pictures])
        decoder.lost()
    assert len(found[0]) == len(found[1]) == 6
    assert all(map(same, *found))
    assert found[1][0].attached.user_data


def test_reordered_pictures_are_all_flushed(nursery, tmp_path):
    with av.open(str(tmp_path / "b.h264"), "w", format="h264") as container:
        stream = container.add_stream("libx264", 25, options={"bf": "3", "x264-params": "b-adapt=0:scenecut=0"})
        stream.width, stream.height, stream.time_base = 128, 96, Fraction(1, 25)
        packets = []
        for number in range(8):
            frame = av.VideoFrame.from_ndarray(np.full((96, 128, 3), 20 * number, np.uint8))
            packets += stream.encode(frame)
        packets += stream.encode(None)
    decoder = apart.decoder(nursery, pb.ENCODING_H264, LIMIT)
    came = [
        one.frame_id
        for n, packet in enumerate(packets)
        for one in decoder.decode(raw(bytes(packet), n, pb.ENCODING_H264))
    ]
    flushed = [one.frame_id for one in decoder.flush()]
    assert flushed
    assert sorted(came + flushed) == list(range(8))


def test_raw_pictures_need_no_process(nursery):
    before = processes(nursery)  # those of a decoder that is gone may still be going
    apart.decoder(nursery, pb.ENCODING_GRAY8, LIMIT)
    assert set(processes(nursery)) <= set(before)


def test_damage_is_told_in_the_same_words(decoder):
    whole = jpeg(200, 120)
    data = whole[: len(whole) // 2] + b"\xff\xd9"
    said = []
    for one in (CODECS[pb.ENCODING_JPEG].decoder(LIMIT), decoder):
        with pytest.raises(Undecodable) as caught:
            one.decode(raw(data))
        said.append(caught.value.message)
    assert said[0] == said[1]
    assert decoder.decode(raw(jpeg()))


def test_a_decoder_that_dies_costs_a_frame(nursery, deaths):
    before = processes(nursery)
    decoder = apart.decoder(nursery, pb.ENCODING_JPEG, LIMIT)
    other = apart.decoder(nursery, pb.ENCODING_JPEG, LIMIT)
    mine, others = [one for one in processes(nursery) if one not in before]
    deaths.clear()
    mine.kill()
    with pytest.raises(Undecodable, match="died"):
        decoder.decode(raw(jpeg()))
    assert deaths == [1]
    assert decoder.decode(raw(jpeg()))
    assert other.decode(raw(jpeg()))
    assert others.is_running()


def test_a_stream_that_kills_decoders_is_ended(nursery):
    before = processes(nursery)
    decoder = apart.decoder(nursery, pb.ENCODING_JPEG, LIMIT)
    for _ in range(apart.MAX_DEATHS):
        [one.kill() for one in processes(nursery) if one not in before]
        with pytest.raises(Undecodable):
            decoder.decode(raw(jpeg()))
    [one.kill() for one in processes(nursery) if one not in before]
    with pytest.raises(Unsupported, match="killed the decoder"):
        decoder.decode(raw(jpeg()))


def test_a_decoder_that_hangs_is_given_up(nursery, monkeypatch):
    monkeypatch.setattr(apart, "ANSWER_SECONDS", 0.2)
    before = processes(nursery)
    decoder = apart.decoder(nursery, pb.ENCODING_JPEG, LIMIT)
    (process,) = [one for one in processes(nursery) if one not in before]
    process.send_signal(signal.SIGSTOP)
    with pytest.raises(Undecodable):
        decoder.decode(raw(jpeg()))
    process.send_signal(signal.SIGCONT)
    process.wait(30)  # its connection is closed
    monkeypatch.undo()
    assert decoder.decode(raw(jpeg()))


def test_a_killed_nursery_is_started_again(deaths):
    nursery = apart.Nursery(lambda: None)
    first = apart.decoder(nursery, pb.ENCODING_JPEG, LIMIT)
    nursery._process.kill()
    nursery._process.wait()
    assert apart.decoder(nursery, pb.ENCODING_JPEG, LIMIT).decode(raw(jpeg()))
    assert first.decode(raw(jpeg()))  # those that run are not touched
    nursery.close()


def test_a_process_ends_with_its_decoder_and_has_no_rights(nursery):
    before = processes(nursery)
    decoder = apart.decoder(nursery, pb.ENCODING_JPEG, LIMIT)
    decoder.decode(raw(jpeg()))
    (process,) = [one for one in processes(nursery) if one not in before]
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{process.pid}/status").read_text().splitlines())
    assert status["NoNewPrivs"] == "1"
    limits = Path(f"/proc/{process.pid}/limits").read_text()
    for name in ("Max open files", "Max core file size", "Max file size", "Max processes"):
        (line,) = [line for line in limits.splitlines() if line.startswith(name)]
        assert line.removeprefix(name).split()[:2] == ["0", "0"]
    (line,) = [line for line in limits.splitlines() if line.startswith("Max address space")]
    assert "unlimited" not in line
    del decoder
    process.wait(30)


MEMORY = np.zeros(64 * 48 * 3, np.uint8)
HEADER = {"frame_id": 1, "layout": "yuv", "size": [64, 48], "chroma": [2, 2], "colour": [1, 2, 2, 2], "user_data": []}


@pytest.mark.parametrize(
    "change",
    [
        {"size": [10**9, 10**9]},
        {"size": [-1, 5]},
        {"size": [64, 100]},
        {"size": "64"},
        {"size": [1.5, 2]},
        {"size": [True, 48]},
        {"chroma": [0, 0]},
        {"chroma": [5, 1]},
        {"layout": "nv12"},
        {"layout": "none"},
        {"colour": [1]},
        {"colour": None},
        {"frame_id": "1"},
        {"user_data": [-5]},
    ],
    ids=str,
)
def test_an_answer_is_believed_in_nothing(change):
    assert answer.read(json.dumps(HEADER).encode() + b"\n", MEMORY).picture.size == (64, 48)
    with pytest.raises(answer.NotAnAnswer):
        answer.read(json.dumps(HEADER | change).encode() + b"\n", MEMORY)


@given(st.binary(max_size=300))
def test_no_answer_is_too_strange(noise):
    with pytest.raises(answer.NotAnAnswer):
        answer.read(noise, MEMORY)


def test_nothing_is_left_of_a_server_that_is_killed():
    program = """
from flowgimbal.server.codecs import apart
from flowgimbal.v1 import stabilizer_pb2 as pb
nursery = apart.Nursery(lambda: None)
decoder = apart.decoder(nursery, pb.ENCODING_JPEG, 1000)
print(nursery._process.pid, flush=True)
input()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        nursery = psutil.Process(int(server.stdout.readline()))
        family = [nursery, *nursery.children()]
        server.kill()
    assert len(family) == 2
    assert not psutil.wait_procs(family, 30)[1]
