"""Streams that outlive their servers: killed, drained, gone for a while; real servers, the SDK, a socket."""

from __future__ import annotations

import asyncio
import itertools
import time

import av
import numpy as np
import pytest

from flowgimbal.client import Client, Encoding, Endpoint, Frame, InvalidRequest, Unavailable
from flowgimbal.client.assets import BUNDLED_CLIP
from flowgimbal.client.endpoint import token_file
from flowgimbal.v1 import stabilizer_pb2 as pb

FRAMES = 90


def clip(encoding: Encoding) -> list[Frame]:
    """The beginning of the bundled clip, small, as JPEG or as H.264 with a key frame every twenty."""
    pictures = []
    with av.open(str(BUNDLED_CLIP)) as container:
        for picture in itertools.islice(container.decode(video=0), FRAMES):
            pictures.append(picture.reformat(320, 180, "yuv420p"))
    if encoding is Encoding.JPEG:
        context = av.CodecContext.create("mjpeg", "w")
        context.pix_fmt, pictures = "yuvj420p", [p.reformat(format="yuvj420p") for p in pictures]
    else:
        context = av.CodecContext.create("libx264", "w")
        context.pix_fmt = "yuv420p"
        context.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "keyint=20:scenecut=0"}
    context.width, context.height, context.time_base = 320, 180, pictures[0].time_base
    data = [bytes(packet) for picture in pictures for packet in context.encode(picture)]
    return [
        Frame(unit, encoding, frame_id=n, capture_time_ns=n * 40_000_000, width=320, height=180)
        for n, unit in enumerate(data)
    ]


@pytest.fixture(scope="module", params=[Encoding.JPEG, Encoding.H264])
def frames(request) -> list[Frame]:
    return clip(request.param)


async def paced(frames: list[Frame], at: dict[int, object], seconds: float = 0.01):
    """The frames, one after another; before frame N what ``at[N]`` does."""
    for number, frame in enumerate(frames):
        if number in at:
            await asyncio.to_thread(at[number])
        yield frame
        await asyncio.sleep(seconds)


@pytest.fixture
def pair(launch):
    """Two servers, and the endpoint of both."""
    servers = [launch(engine="cpu"), launch(engine="cpu")]
    return servers, Endpoint(tuple(server.address for server in servers))


async def transforms(endpoint: Endpoint, frames: list[Frame], at: dict[int, object], **wishes: object) -> list[tuple]:
    async with Client(endpoint) as client, client.stream(resume=True, **wishes) as stream:
        return [(steady.frame_id, steady.transform) async for steady in stream.stabilize(paced(frames, at))]


@pytest.mark.parametrize("look_ahead", [0, 10])
@pytest.mark.parametrize("end", ["kill", "terminate"])
async def test_a_lossless_stream_goes_on_as_if_nothing_had_been(pair, frames, look_ahead, end):
    (first, _), endpoint = pair
    wishes = {"mode": "lossless", "look_ahead_frames": look_ahead}
    calm = await transforms(endpoint, frames, {}, **wishes)
    moved = await transforms(endpoint, frames, {45: getattr(first.process, end)}, **wishes)
    assert [number for number, _ in moved] == [number for number, _ in calm] == list(range(FRAMES))
    corners = np.array([[0, 0, 1], [320, 0, 1], [0, 180, 1], [320, 180, 1]], float).T
    apart = [
        np.abs(project(a, corners) - project(b, corners)).max() for (_, a), (_, b) in zip(calm, moved, strict=True)
    ]
    assert max(apart) < 0.05, f"pixels, first above at frame {next(n for n, d in enumerate(apart) if d >= 0.05)}"


def project(transform: np.ndarray, points: np.ndarray) -> np.ndarray:
    there = transform @ points
    return there[:2] / there[2]


async def test_a_live_stream_goes_on_and_does_not_jump(pair, frames):
    (first, _), endpoint = pair
    numbers: list[int] = []
    shifts: dict[int, np.ndarray] = {}
    async with Client(endpoint) as client, client.stream(resume=True, mode="live") as stream:
        async for steady in stream.stabilize(paced(frames, {45: first.process.kill}, 0.033)):
            numbers.append(steady.frame_id)
            shifts[steady.frame_id] = project(steady.transform, np.array([[160.0], [90.0], [1.0]])).ravel()
    assert numbers == sorted(set(numbers))
    assert numbers[-1] > 60
    assert len(numbers) + stream.dropped == stream.sent == FRAMES
    steps = {b: float(np.abs(shifts[b] - shifts[a]).max()) / (b - a) for a, b in itertools.pairwise(numbers)}
    around = max(steps[number] for number in [n for n in numbers if n > 40][:20])
    assert around <= 1.5 * max(steps[n] for n in numbers[1:] if n <= 40)


async def test_one_that_comes_back_is_waited_for(launch, frames):
    first = launch()
    second: list[object] = []

    def restart() -> None:
        first.close()
        second.append(launch("--listen", first.address))

    async with Client(first.address) as client, client.stream(mode="lossless", resume=True) as stream:
        before = stream.info.stream_id
        numbers = [steady.frame_id async for steady in stream.stabilize(paced(frames, {45: restart}))]
    assert numbers == list(range(FRAMES))
    assert stream.info.stream_id != before
    assert second[0].wait_for("stream ended")["outcome"] == "OK"


async def test_where_none_takes_it_the_last_refusal_is_told(launch, frames):
    server = launch()
    async with (
        Client(server.address) as client,
        client.stream(mode="lossless", look_ahead_frames=0, resume=True, patience=0.5) as stream,
    ):
        coming = stream.stabilize(paced(frames, {20: server.close}))
        with pytest.raises(Unavailable, match="no server at"):
            [steady async for steady in coming]
        with pytest.raises(Unavailable):
            await stream.send(frames[-1])


async def test_what_no_server_would_take_is_not_tried_again(pair):
    servers, endpoint = pair
    async with Client(endpoint) as client:
        with pytest.raises(InvalidRequest):
            async with client.stream(smoothing_strength=7, resume=True):
                pass
        async with client.stream(mode="lossless", resume=True) as stream:
            with pytest.raises(InvalidRequest, match="data: 0 bytes"):
                [steady async for steady in stream.stabilize([Frame(b"", Encoding.GRAY8, width=4, height=4)])]
    assert sum("stream ended" in line["message"] for server in servers for line in server.log) <= 2


async def test_a_full_server_sends_it_to_the_next(launch, frames):
    full, other = launch("--max-streams", "1", engine="identity"), launch(engine="identity")
    endpoint = Endpoint((full.address, other.address))
    async with (
        Client(full.address) as first,
        first.stream(),
        Client(endpoint) as client,
        client.stream(mode="lossless", resume=True) as stream,
    ):
        assert len([1 async for _ in stream.stabilize(frames)]) == FRAMES
        assert stream.address == other.address


async def test_settings_changed_on_the_way_go_along(pair, frames):
    (first, _), endpoint = pair
    wishes = {"mode": "lossless", "look_ahead_frames": 0}
    async with Client(endpoint) as client, client.stream(resume=True, **wishes) as stream:
        for frame in frames[:20]:
            await stream.exchange(frame)
        await stream.tune(smoothing_strength=0.25, pins=["0,0,32,32"])
        for frame in frames[20:30]:
            await stream.exchange(frame)
        await asyncio.to_thread(first.process.kill)
        for frame in frames[30:40]:
            await stream.exchange(frame)
        assert stream.info.settings.smoothing_strength == 0.25
        assert [tuple(pin) for pin in stream.info.settings.pins] == [(0, 0, 32, 32)]
        assert stream.address != endpoint.addresses[0]


async def test_what_an_observer_changed_goes_along(pair, frames):
    (first, _), endpoint = pair
    async with (
        Client(endpoint) as client,
        client.stream(resume=True, mode="lossless", look_ahead_frames=0) as stream,
    ):
        await stream.exchange(frames[0])
        await client.tune(stream.info.stream_id, smoothing_strength=0.25, pins=["0,0,32,32"])
        for frame in frames[1:10]:
            await stream.exchange(frame)
        await asyncio.to_thread(first.process.kill)
        for frame in frames[10:20]:
            await stream.exchange(frame)
        assert stream.address != endpoint.addresses[0]
        assert stream.info.settings.smoothing_strength == 0.25
        assert [tuple(pin) for pin in stream.info.settings.pins] == [(0, 0, 32, 32)]


@pytest.mark.parametrize("resume", [False, True])
async def test_settings_change_while_another_task_sends(launch, frames, resume):
    server = launch(engine="identity")
    tuned = asyncio.Event()

    async def source():
        for frame in frames[:80]:
            yield frame
        await tuned.wait()
        for frame in frames[80:]:
            yield frame

    numbers = []
    async with Client(server.address) as client, client.stream(mode="lossless", resume=resume) as stream:
        before = stream.info.stream_id
        async for steady in stream.stabilize(source()):
            numbers.append(steady.frame_id)
            if steady.frame_id <= 60:
                await stream.tune(smoothing_strength=0.5 + steady.frame_id % 2 / 4)
            else:
                tuned.set()
        assert stream.info.stream_id == before
    assert numbers == list(range(FRAMES))


async def test_a_token_that_is_being_replaced_is_waited_for(launch, frames, tmp_path):
    token, tokens = tmp_path / "token", tmp_path / "tokens.toml"
    token.write_text("a-token-of-camera-7")
    tokens.write_text('[camera]\ntoken = "a-token-of-camera-7"\n')
    first = launch("--tokens-file", str(tokens), engine="identity")

    def replace() -> None:
        token.rename(tmp_path / "aside")
        first.close()
        launch("--tokens-file", str(tokens), "--listen", first.address, engine="identity")
        time.sleep(1.0)  # some attempts
        (tmp_path / "aside").rename(token)

    async with (
        Client(first.address, token=token_file(str(token))) as client,
        client.stream(mode="lossless", resume=True) as stream,
    ):
        numbers = [steady.frame_id async for steady in stream.stabilize(paced(frames, {45: replace}))]
    assert numbers == list(range(FRAMES))


def path_of(client, wire, count: int = 3) -> list[bytes]:
    requests = [wire.lossless(look_ahead_frames=0, resumable=True), *map(wire.gray, range(count))]
    return [steady.path for steady in client.exchange(requests)]


def resumed(client, wire, path: list[bytes], after: int = 2) -> list[pb.StabilizedFrame]:
    resume = pb.Resume(after_frame_id=after, path=path)
    return client.exchange(
        [wire.lossless(look_ahead_frames=0, resume=resume), *map(wire.gray, range(after, after + 3))]
    )


def test_frames_that_came_back_are_measured_and_not_returned(client, wire):
    path = path_of(client, wire)
    assert all(2900 < len(point) < 3200 for point in path)  # about 3 KiB, as the contract says
    back = resumed(client, wire, path)
    assert [steady.frame.frame_id for steady in back] == [3, 4]
    assert [(steady.stats.frames_received, steady.stats.frames_dropped) for steady in back] == [(2, 0)] * 2
    assert not any(steady.path for steady in back)


def test_a_path_of_another_form_is_left_out(client, wire):
    assert len(resumed(client, wire, [b"\xff of the future"])) == 2
    assert len(resumed(client, wire, [])) == 2


@pytest.mark.parametrize("harm", ["short", "long", "nan", "far", "many", "empty"])
def test_a_broken_path_is_refused(client, wire, harm):
    good = path_of(client, wire)[-1]
    nan, far = np.array([np.nan], "<f4").tobytes(), np.array([1e9], "<f4").tobytes()
    path = {
        "short": [good[:-1]],
        "long": [good + b"0"],
        "nan": [good[:-4] + nan],
        "far": [good[:-4] + far],
        "many": [good] * 257,
        "empty": [good, b""],
    }[harm]
    stream = client.stream(wire.lossless(resume=pb.Resume(path=path)))
    if harm == "empty":  # no form at all: of others
        stream.half_close()
        assert stream.info().stream_id
        return
    refusal = stream.error()
    assert (refusal.code.name, refusal.info.reason) == ("INVALID_ARGUMENT", "RESUME_PATH_BROKEN")


@pytest.mark.parametrize("change", [{"resumable": True}, {"resume": pb.Resume(after_frame_id=1)}])
def test_it_cannot_be_tuned(client, wire, change):
    stream = client.stream(wire.lossless(), pb.StreamRequest(tuning=pb.Tuning(config=pb.StreamConfig(**change))))
    refusal = stream.error()
    assert (refusal.code.name, refusal.info.reason) == ("INVALID_ARGUMENT", "TUNING_FIXED")


def test_only_who_can_move_is_told_to(launch, connect, wire):
    server = launch()
    client = connect(server.address)
    able = client.stream(wire.lossless(resumable=True, look_ahead_frames=0), wire.gray(0))
    plain = client.stream(wire.lossless(look_ahead_frames=0), wire.gray(0))
    for stream in (able, plain):
        stream.info()
        stream.frames(1)
    server.terminate()
    told = next(able.call)
    assert told.WhichOneof("response") == "draining"
    assert told.draining.seconds == 5
    assert list(plain.call) == []  # ends well, at once
    able.send(wire.gray(1))  # is still served
    assert able.frames(1)[0].frame.frame_id == 1
    able.half_close()
    assert able.frames() == []
    plain.half_close()
    assert server.exit_code() == 0
