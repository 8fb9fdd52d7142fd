"""One test a row of the contract's error table, by a raw client over a socket."""

from __future__ import annotations

import time

import grpc
import pytest

from flowgimbal.v1 import stabilizer_pb2 as pb

CODE = grpc.StatusCode

# What is sent after nothing at all; w makes messages.
REFUSED = {
    "first message is a frame": (lambda w: [w.frame(1)], CODE.INVALID_ARGUMENT, "FIRST_MESSAGE_NOT_CONFIG"),
    "first message is empty": (lambda w: [pb.StreamRequest()], CODE.INVALID_ARGUMENT, "FIRST_MESSAGE_NOT_CONFIG"),
    "second config": (lambda w: [w.config(), w.config()], CODE.INVALID_ARGUMENT, "SECOND_CONFIG"),
    "empty request": (lambda w: [w.config(), pb.StreamRequest()], CODE.INVALID_ARGUMENT, "EMPTY_REQUEST"),
    "quality 0": (lambda w: [w.config(output_quality=0)], CODE.INVALID_ARGUMENT, "VALUE_OUT_OF_RANGE"),
    "quality 101": (lambda w: [w.config(output_quality=101)], CODE.INVALID_ARGUMENT, "VALUE_OUT_OF_RANGE"),
    "strength 1.1": (lambda w: [w.config(smoothing_strength=1.1)], CODE.INVALID_ARGUMENT, "VALUE_OUT_OF_RANGE"),
    "strength NaN": (
        lambda w: [w.config(smoothing_strength=float("nan"))],
        CODE.INVALID_ARGUMENT,
        "VALUE_OUT_OF_RANGE",
    ),
    "crop 0.6": (lambda w: [w.config(max_crop_ratio=0.6)], CODE.INVALID_ARGUMENT, "VALUE_OUT_OF_RANGE"),
    "crop infinite": (lambda w: [w.config(max_crop_ratio=float("inf"))], CODE.INVALID_ARGUMENT, "VALUE_OUT_OF_RANGE"),
    "look-ahead 61": (lambda w: [w.config(look_ahead_frames=61)], CODE.INVALID_ARGUMENT, "VALUE_OUT_OF_RANGE"),
    "unknown mode": (lambda w: [w.config(mode=77)], CODE.INVALID_ARGUMENT, "VALUE_OUT_OF_RANGE"),
    "unknown crop policy": (lambda w: [w.config(crop_policy=77)], CODE.INVALID_ARGUMENT, "VALUE_OUT_OF_RANGE"),
    "unknown output": (lambda w: [w.config(output_encoding=77)], CODE.INVALID_ARGUMENT, "VALUE_OUT_OF_RANGE"),
    "id repeated": (lambda w: [w.config(), w.frame(5), w.frame(5)], CODE.INVALID_ARGUMENT, "FRAME_ID_NOT_INCREASING"),
    "id going back": (lambda w: [w.config(), w.frame(5), w.frame(3)], CODE.INVALID_ARGUMENT, "FRAME_ID_NOT_INCREASING"),
    "no encoding": (
        lambda w: [w.config(), w.frame(1, encoding=pb.ENCODING_UNSPECIFIED)],
        CODE.INVALID_ARGUMENT,
        "ENCODING_UNSPECIFIED",
    ),
    "zero size": (
        lambda w: [w.config(), w.frame(1, b"", encoding=pb.ENCODING_I420)],
        CODE.INVALID_ARGUMENT,
        "FRAME_EMPTY",
    ),
    "zero height": (
        lambda w: [w.config(), w.frame(1, b"", encoding=pb.ENCODING_BGR8, width=9)],
        CODE.INVALID_ARGUMENT,
        "FRAME_EMPTY",
    ),
    "data too short": (
        lambda w: [w.config(), w.frame(1, bytes(99), encoding=pb.ENCODING_GRAY8, width=10, height=10)],
        CODE.INVALID_ARGUMENT,
        "DATA_SIZE_MISMATCH",
    ),
    "data too long": (
        lambda w: [w.config(), w.frame(1, bytes(151), encoding=pb.ENCODING_I420, width=10, height=10)],
        CODE.INVALID_ARGUMENT,
        "DATA_SIZE_MISMATCH",
    ),
    "data without the stride's padding": (
        lambda w: [w.config(), w.frame(1, bytes(300), encoding=pb.ENCODING_BGR8, width=10, height=10, stride=32)],
        CODE.INVALID_ARGUMENT,
        "DATA_SIZE_MISMATCH",
    ),
    "stride too small": (
        lambda w: [w.config(), w.frame(1, bytes(290), encoding=pb.ENCODING_BGR8, width=10, height=10, stride=29)],
        CODE.INVALID_ARGUMENT,
        "STRIDE_TOO_SMALL",
    ),
    "raw frame above the limit": (
        lambda w: [w.config(), w.frame(1, b"", encoding=pb.ENCODING_GRAY8, width=2000, height=501)],
        CODE.OUT_OF_RANGE,
        "FRAME_TOO_LARGE",
    ),
    "raw frame of 2^64 pixels": (
        lambda w: [w.config(), w.frame(1, b"", encoding=pb.ENCODING_GRAY8, width=2**32 - 1, height=2**32 - 1)],
        CODE.OUT_OF_RANGE,
        "FRAME_TOO_LARGE",
    ),
    "JPEG header of 65535x65535": (
        lambda w: [w.config(), w.frame(1, resized(w.jpeg(), 65535, 65535))],
        CODE.OUT_OF_RANGE,
        "FRAME_TOO_LARGE",
    ),
    "H.264 that is cut off": (
        lambda w: [w.lossless(), w.frame(1, b"\0\0\1", encoding=pb.ENCODING_H264)],
        CODE.DATA_LOSS,
        "FRAME_UNDECODABLE",
    ),
    "H.264 of 16000x16000": (
        lambda w: [w.config(), w.frame(1, sequence_of(1000, 1000), encoding=pb.ENCODING_H264)],
        CODE.OUT_OF_RANGE,
        "FRAME_TOO_LARGE",
    ),
    "H.264 without a key frame": (
        lambda w: [w.lossless(), w.frame(1, b"\0\0\1\x41\x9a\x21\x6c\x42", encoding=pb.ENCODING_H264)],
        CODE.DATA_LOSS,
        "FRAME_UNDECODABLE",
    ),
    "bit rate of 0": (lambda w: [w.config(output_bit_rate=0)], CODE.INVALID_ARGUMENT, "VALUE_OUT_OF_RANGE"),
    "key frame interval of 0": (
        lambda w: [w.config(key_frame_interval=0)],
        CODE.INVALID_ARGUMENT,
        "VALUE_OUT_OF_RANGE",
    ),
    "JPEG of 12 bits": (
        lambda w: [w.config(), w.frame(1, with_precision(w.jpeg(), 12))],
        CODE.UNIMPLEMENTED,
        "JPEG_KIND_UNSUPPORTED",
    ),
    "truncated JPEG": (lambda w: [w.lossless(), w.frame(1, w.jpeg()[:-200])], CODE.DATA_LOSS, "FRAME_UNDECODABLE"),
    "truncated JPEG with an end marker": (
        lambda w: [w.lossless(), w.frame(1, w.jpeg()[:-500] + b"\xff\xd9")],
        CODE.DATA_LOSS,
        "FRAME_UNDECODABLE",
    ),
    "no JPEG at all": (lambda w: [w.lossless(), w.frame(1, b"GIF89a")], CODE.DATA_LOSS, "FRAME_UNDECODABLE"),
    "empty JPEG": (lambda w: [w.lossless(), w.frame(1, b"")], CODE.DATA_LOSS, "FRAME_UNDECODABLE"),
    "JPEG header of 0x0": (
        lambda w: [w.lossless(), w.frame(1, resized(w.jpeg(), 0, 0))],
        CODE.DATA_LOSS,
        "FRAME_UNDECODABLE",
    ),
}


def sequence_of(columns: int, rows: int) -> bytes:
    """An H.264 unit whose parameter set announces so many macroblocks, and a slice that is none."""

    def code(number: int) -> str:  # Exp-Golomb
        return "0" * ((number + 1).bit_length() - 1) + f"{number + 1:b}"

    bits = f"{66:08b}{0:08b}{40:08b}" + "".join(map(code, (0, 0, 2, 1))) + "0" + code(columns - 1) + code(rows - 1)
    bits += "1" + "0" + "0" + "0" + "1"
    padded = bits.ljust(-(-len(bits) // 8) * 8, "0")
    return b"\0\0\1\x67" + int(padded, 2).to_bytes(len(padded) // 8, "big") + b"\0\0\1\x65\x88\x84\0\0\0"


def resized(jpeg: bytes, width: int, height: int) -> bytes:
    place = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:place] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + jpeg[place + 4 :]


def with_precision(jpeg: bytes, bits: int) -> bytes:
    place = jpeg.index(b"\xff\xc0") + 4
    return jpeg[:place] + bytes([bits]) + jpeg[place + 1 :]


@pytest.mark.parametrize("case", REFUSED)
def test_refused(client, wire, case):
    requests, code, reason = REFUSED[case]
    refusal = client.stream(*requests(wire)).error()
    assert (refusal.code, refusal.info.reason) == (code, reason)
    assert refusal.info.domain == "flowgimbal"
    assert refusal.message


def test_undecodable_frame_in_live_is_dropped_and_counted(client, wire):
    broken_header = wire.frame(2, b"GIF89a")
    broken_end = wire.frame(3, wire.jpeg()[:-500] + b"\xff\xd9")
    stream = client.stream(wire.config(), wire.frame(1))
    stream.info()
    first = stream.frames(1)
    stream.send(broken_header, broken_end, wire.frame(4))
    second = stream.frames(1)
    stream.half_close()
    assert [f.frame.frame_id for f in first + second + stream.frames()] == [1, 4]
    assert second[0].stats.frames_received == 4
    assert second[0].stats.frames_dropped == 2


def test_frames_before_an_undecodable_one_come_back(client, wire):
    stream = client.stream(wire.lossless(), *(wire.frame(i) for i in range(5)), wire.frame(5, wire.jpeg()[:-300]))
    stream.info()
    assert [f.frame.frame_id for f in stream.frames(5)] == list(range(5))
    assert stream.error().code is CODE.DATA_LOSS


def test_too_many_streams(launch, connect, wire):
    client = connect(launch("--max-streams", "2").address)
    running = [client.stream(wire.config()) for _ in range(2)]
    for stream in running:
        stream.info()
    refusal = client.stream(wire.config()).error()
    assert (refusal.code, refusal.info.reason) == (CODE.RESOURCE_EXHAUSTED, "TOO_MANY_STREAMS")
    assert refusal.retry.retry_delay.ToNanoseconds() > 0
    running[0].half_close()
    assert running[0].frames() == []
    stream = client.stream(wire.config())
    stream.info()
    stream.half_close()
    running[1].half_close()
    assert stream.frames() == running[1].frames() == []


def test_message_too_large(client, wire):
    refusal = client.stream(wire.config(), wire.frame(1, bytes(5_000_000))).error()
    assert refusal.code is CODE.RESOURCE_EXHAUSTED


def test_idle_timeout(launch, connect, wire):
    server = launch("--idle-timeout-seconds", "0.3")
    client = connect(server.address)
    silent = client.stream().error()
    paused = client.stream(wire.config(), wire.frame(1)).error()
    for refusal in (silent, paused):
        assert (refusal.code, refusal.info.reason) == (CODE.DEADLINE_EXCEEDED, "IDLE_TIMEOUT")


def test_starting_is_unavailable(launch, connect, wire):
    program = (
        "-c",
        "import sys, time\n"
        "from flowgimbal.server import __main__, app\n"
        "from flowgimbal.engines.picker import IdentityEngine\n"
        "class Slow(IdentityEngine):\n"
        "    def warm_up(self):\n"
        "        sys.stderr.write('warming\\n')\n"
        "        sys.stderr.flush()\n"
        "        time.sleep(1000)\n"
        "app.pick = lambda *_: Slow()\n"
        "sys.exit(__main__.main())\n",
    )
    address = "unix:" + f"/tmp/flowgimbal-test-{time.monotonic_ns()}.sock"
    server = launch("--listen", address, wait=False, program=program)
    server.wait_for("warming")
    refusal = connect(address).stream(wire.config()).error()
    assert (refusal.code, refusal.info.reason) == (CODE.UNAVAILABLE, "STARTING")
    assert refusal.retry.retry_delay.ToNanoseconds() > 0


def test_engine_failure_ends_its_stream_alone(launch, connect, wire):
    program = (
        "-c",
        "import sys\n"
        "from flowgimbal.server import __main__, app\n"
        "from flowgimbal.engines.engine import EngineError\n"
        "from flowgimbal.engines.picker import IdentityEngine\n"
        "class Broken(IdentityEngine):\n"
        "    def measure(self, held, memory):\n"
        "        if held.planes[0].mean() < 1:\n"
        "            raise EngineError('the card fell off the bus')\n"
        "        return super().measure(held, memory)\n"
        "app.pick = lambda *_: Broken()\n"
        "sys.exit(__main__.main())\n",
    )
    client = connect(launch(program=program).address)
    healthy = client.stream(wire.config(), wire.gray(1))
    healthy.info()
    assert len(healthy.frames(1)) == 1
    black = wire.frame(1, bytes(160 * 96), encoding=pb.ENCODING_GRAY8, width=160, height=96)
    refusal = client.stream(wire.lossless(look_ahead_frames=0), black).error()
    assert (refusal.code, refusal.info.reason) == (CODE.INTERNAL, "ENGINE_FAILURE")
    assert "the card fell off the bus" in refusal.message
    healthy.send(wire.gray(2))
    healthy.half_close()
    assert [f.frame.frame_id for f in healthy.frames()] == [2]
