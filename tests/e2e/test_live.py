"""``flowgimbal live`` between real programs: ffmpeg publishes, ffmpeg reads, servers and sources die."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import psutil
import pytest

from flowgimbal.client.assets import BUNDLED_CLIP
from flowgimbal.client.sources.url import session_description
from flowgimbal.client.steadiness import compare
from flowgimbal.client.steadiness.gray import gray_frames

LIMIT = 90
COMMAND = (sys.executable, "-m", "flowgimbal.client.cli")

pytestmark = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs the ffmpeg program, to publish and read")


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def udp_port() -> int:
    """An even one, as RTP wants, with its neighbour free for RTCP."""
    while (port := free_port(socket.SOCK_DGRAM)) % 2:
        pass
    return port


def publish(run, *where: object, frames: int = 0):
    """The bundled clip in real time, again and again, as H.264 without delay, a key frame every half second."""
    coding = ("-an", "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "12", "-bf", "0")
    length = ("-frames:v", frames) if frames else ()
    return run("ffmpeg", "-v", "error", "-re", "-stream_loop", -1, "-i", BUNDLED_CLIP, *coding, *length, *where)


def live(run, *arguments: object):
    return run(*COMMAND, "live", *arguments)


def lines_of(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def grown(path: Path, least: int) -> list[dict]:
    """The sidecar once it has so many lines; the limit is for a hang, not a measure of speed."""
    limit = time.monotonic() + LIMIT
    while len(lines := lines_of(path)) < least:
        assert time.monotonic() < limit, f"{len(lines)} of {least} lines"
        time.sleep(0.05)
    return lines


def times_of(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [float(p.pts * p.time_base) for p in container.demux(video=0) if p.size]


def test_a_file_goes_to_several_sinks_and_comes_out_steadier(run, tmp_path):
    steady, transport, sidecar, raw = (tmp_path / name for name in ("s.mp4", "s.ts", "s.jsonl", "raw.mkv"))
    sinks = ("--sink", steady, "--sink", transport, "--sink", sidecar, "--record-raw", raw)
    # All frames: how many a busy machine would lose says nothing of the picture.
    program = live(run, "--source", BUNDLED_CLIP, *sinks, "--mode", "lossless", "--look-ahead-frames", 0)
    assert program.exit_code() == 0
    assert program.count("ended: 125 frames returned, 0 dropped") == 1
    original = times_of(BUNDLED_CLIP)
    for path in (steady, transport, raw):
        times = times_of(path)
        assert len(times) == 125
        assert np.allclose(np.diff(sorted(times)), np.diff(sorted(original)), atol=0.002)
    written = lines_of(sidecar)
    assert {line["frame_id"] for line in written} == set(range(125))
    assert all(after["time_ns"] > before["time_ns"] for before, after in pairwise(written))
    report = compare(gray_frames(BUNDLED_CLIP), gray_frames(steady), 25)
    assert report.gain_db > 3


def test_rtp_in_and_rtp_out(run, tmp_path):
    source, sink = udp_port(), udp_port()
    session = tmp_path / "out.sdp"
    session.write_text(session_description("127.0.0.1", sink, "H264"))
    sidecar, received = tmp_path / "s.jsonl", tmp_path / "received.mkv"
    program = live(run, "--source", f"rtp://127.0.0.1:{source}", "--sink", f"rtp://127.0.0.1:{sink}", "--sink", sidecar)
    publish(run, "-f", "rtp", f"rtp://127.0.0.1:{source}")
    program.wait_for("stream ")
    reader = run("ffmpeg", "-v", "error", "-protocol_whitelist", "file,udp,rtp", "-i", session, "-c", "copy",
                 "-frames:v", 50, received)  # fmt: skip
    assert reader.exit_code() == 0
    times = times_of(received)
    assert len(times) == 50
    assert all(after > before for before, after in pairwise(times))
    assert abs(np.median(np.diff(times)) - 1 / 25) < 0.002
    assert program.end() == 0
    sent = [line["time_ns"] for line in lines_of(sidecar)]
    assert all(after > before for before, after in pairwise(sent))


def test_a_source_of_which_nothing_comes_is_told(run, tmp_path):
    source = udp_port()
    program = live(run, "--source", f"rtp://127.0.0.1:{source}", "--sink", tmp_path / "steady.mkv")
    publish(run, "-flags:v", "+global_header", "-f", "rtp", f"rtp://127.0.0.1:{source}")  # parameter sets aside
    program.wait_for("has to send its parameter sets")


def test_a_frozen_and_a_restarted_source_come_back(run, tmp_path):
    port, sidecar = udp_port(), tmp_path / "s.jsonl"
    program = live(run, "--source", f"udp://127.0.0.1:{port}", "--sink", sidecar)
    target = ("-f", "mpegts", f"udp://127.0.0.1:{port}?pkt_size=1316")
    first = publish(run, *target)
    grown(sidecar, 20)
    first.process.send_signal(signal.SIGSTOP)
    program.wait_for("the source has given nothing for 2 s")
    first.process.send_signal(signal.SIGCONT)
    program.wait_for("the source gives pictures again")
    before = len(lines_of(sidecar))
    grown(sidecar, before + 20)
    first.end(signal.SIGKILL)
    program.wait_for("the source has given nothing for 2 s", 2)
    publish(run, *target)  # its clock begins at zero again
    program.wait_for("the source gives pictures again", 2)
    before = len(lines_of(sidecar))
    lines = grown(sidecar, before + 20)
    assert program.end() == 0
    times = [line["time_ns"] for line in lines]
    assert all(after > before for before, after in pairwise(times))
    assert max(np.diff(times)) < 20e9
    assert program.count("gives pictures again") == 2


def test_a_killed_server_is_awaited(run, tmp_path):
    port, source, sidecar = free_port(), udp_port(), tmp_path / "s.jsonl"
    address = f"127.0.0.1:{port}"
    server = run(*COMMAND, "serve", "--listen", address)
    server.wait_for("serving")
    program = live(run, "--source", f"rtp://127.0.0.1:{source}", "--sink", sidecar, "--server", address)
    publish(run, "-f", "rtp", f"rtp://127.0.0.1:{source}")
    grown(sidecar, 20)
    server.end(signal.SIGKILL)
    program.wait_for("the server is gone")
    before = len(lines_of(sidecar))
    second = run(*COMMAND, "serve", "--listen", address)
    second.wait_for("serving")
    program.wait_for("the server is back")
    lines = grown(sidecar, before + 20)
    assert program.end() == 0
    assert second.end() == 0
    assert [program.count(words) for words in ("the server is gone", "the server is back")] == [1, 1]
    times = [line["time_ns"] for line in lines]
    assert all(after > before for before, after in pairwise(times))


def test_a_server_that_hangs_is_given_up(run, tmp_path):
    """It answers no ping: nothing else tells of it, since its connections stay open."""
    address, sidecar = f"127.0.0.1:{free_port()}", tmp_path / "s.jsonl"
    server = run(*COMMAND, "serve", "--listen", address, "--engine", "identity")
    server.wait_for("serving")
    program = live(run, "--source", "test:", "--server", address, "--sink", sidecar)
    before = len(grown(sidecar, 20))
    server.process.send_signal(signal.SIGSTOP)
    program.wait_for("the server is gone")
    server.process.send_signal(signal.SIGCONT)
    program.wait_for("the server is back")
    grown(sidecar, before + 20)
    assert program.count("the server is gone") == 1
    assert program.end() == 0


def test_rtsp_is_published_and_read(run, tmp_path):
    port, received = free_port(), tmp_path / "received.mkv"
    url = f"rtsp://127.0.0.1:{port}/steady"
    reader = run("ffmpeg", "-v", "error", "-rtsp_flags", "listen", "-i", url, "-c", "copy", "-frames:v", 40, received)
    program = live(run, "--source", "test:", "--sink", url)
    assert reader.exit_code() == 0
    assert len(times_of(received)) == 40
    assert program.end() == 0


def test_a_pipe_in_and_a_pipe_out(tmp_path):
    coding = ("-an", "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "12", "-bf", "0")
    source = subprocess.Popen(
        ["ffmpeg", "-v", "error", "-i", BUNDLED_CLIP, *coding, "-f", "mpegts", "-"], stdout=subprocess.PIPE
    )
    command = [*COMMAND, "live", "--source", "-", "--sink", "-", "--mode", "lossless"]
    piped = subprocess.run(command, stdin=source.stdout, capture_output=True, timeout=LIMIT, check=False)
    source.stdout.close()
    assert source.wait(LIMIT) == 0
    assert piped.returncode == 0, piped.stderr
    received = tmp_path / "received.ts"
    received.write_bytes(piped.stdout)
    # Units in flight when the pipe ends may be superseded by the next key frame: a live road, not a file's.
    assert len(times_of(received)) > 0


def test_a_folder_of_pictures_and_a_sink_over_udp(run, tmp_path):
    folder, port, received = tmp_path / "pictures", udp_port(), tmp_path / "received.ts"
    folder.mkdir()
    subprocess.run(["ffmpeg", "-v", "error", "-i", BUNDLED_CLIP, "-q:v", "3", folder / "%04d.jpg"], check=True)
    url = f"udp://127.0.0.1:{port}"
    quick = ("-analyzeduration", 500_000, "-probesize", 50_000)
    reader = run("ffmpeg", "-v", "error", *quick, "-i", url, "-c", "copy", "-frames:v", 40, received)
    program = live(run, "--source", folder, "--frame-rate", 25, "--sink", url, "--key-frame-interval", 12)
    assert reader.exit_code() == 0
    assert abs(np.median(np.diff(times_of(received))) - 1 / 25) < 0.002
    assert program.exit_code() == 0


def test_another_sender_is_taken_up(run, tmp_path):
    """Each begins with numbers of its own, half of which look like old ones to a reader that knows the one before."""
    port, sidecar = udp_port(), tmp_path / "s.jsonl"
    program = live(run, "--source", f"rtp://127.0.0.1:{port}", "--sink", sidecar)
    seen = 0
    for _ in range(5):
        sender = publish(run, "-f", "rtp", f"rtp://127.0.0.1:{port}")
        seen = len(grown(sidecar, seen + 20))
        sender.end(signal.SIGKILL)
    assert program.count("gone") == 0
    lines = lines_of(sidecar)
    assert all(after["time_ns"] > before["time_ns"] for before, after in pairwise(lines))
    assert program.end() == 0


@pytest.mark.parametrize(
    ("form", "sink", "back"),
    [
        (("-f", "yuv4mpegpipe"), "y4m:-", ()),
        (
            ("-f", "rawvideo", "-pix_fmt", "nv12"),
            "raw:-",
            ("-f", "rawvideo", "-video_size", "640x360", "-framerate", "25", "-pixel_format", "yuv420p"),
        ),
    ],
)
def test_pictures_through_pipes(tmp_path, form, sink, back):
    """A test picture comes back as it was, at strength 0, but for the coding: through ffmpeg on both sides."""
    picture = (
        "ffmpeg",
        "-v",
        "error",
        "-re",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=640x360:rate=25:duration=6",
        *form,
        "-",
    )
    source = subprocess.Popen(picture, stdout=subprocess.PIPE)
    origin = "-" if sink == "y4m:-" else "raw:-?size=640x360&rate=25&format=nv12"
    quality = ("--output-quality", "95", "--smoothing-strength", "0")
    command = [*COMMAND, "live", "--source", origin, "--sink", sink, *quality]
    piped = subprocess.run(command, stdin=source.stdout, capture_output=True, timeout=LIMIT, check=False)
    source.stdout.close()
    assert source.wait(LIMIT) == 0
    assert piped.returncode == 0, piped.stderr
    received = tmp_path / "received"
    received.write_bytes(piped.stdout)
    decode = ("ffmpeg", "-v", "error", *back, "-i", received, "-f", "rawvideo", "-pix_fmt", "gray", "-")
    shown = np.frombuffer(subprocess.run(decode, capture_output=True, check=True).stdout, np.uint8).reshape(
        -1, 360, 640
    )
    assert len(shown) > 20  # what comes before the server is up is superseded
    if sink == "y4m:-":
        assert any(b" F25:%d " % gap in piped.stdout[:100] for gap in (1, 2, 3))  # by the nearest of the first five
    again = ("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25:duration=6")
    sent = subprocess.run([*again, "-f", "rawvideo", "-pix_fmt", "gray", "-"], capture_output=True, check=True).stdout
    sent = np.frombuffer(sent, np.uint8).reshape(-1, 360, 640).astype(float)
    nearest = [np.sqrt(((sent - picture) ** 2).mean((1, 2))).min() for picture in shown[5:20]]
    assert max(nearest) < 4


def klv_file(path: Path) -> list[tuple[int, bytes]]:
    """The bundled clip as a transport stream with metadata beside every fifth picture; times [90 kHz] and packets."""
    sent = []
    with av.open(str(BUNDLED_CLIP)) as source, av.open(str(path), "w", format="mpegts") as out:
        video = out.add_stream_from_template(source.streams.video[0])
        metadata = out.add_data_stream("klv")
        for number, packet in enumerate(p for p in source.demux(video=0) if p.size):
            if number % 5 == 0:
                klv = av.Packet(bytes.fromhex("060e2b34") + number.to_bytes(2, "big"))
                klv.stream, klv.time_base = metadata, packet.time_base
                klv.pts = klv.dts = packet.dts
                sent.append((int(packet.dts * packet.time_base * 90_000), bytes(klv)))
                out.mux(klv)
            packet.stream = video
            out.mux(packet)
    return sent


@pytest.mark.parametrize("sink", ["steady.ts", "raw.ts"])
def test_metadata_of_a_transport_stream_is_passed_on(run, tmp_path, sink):
    sent = klv_file(tmp_path / "drone.ts")
    sinks = ("--sink", tmp_path / "steady.ts", "--sink", tmp_path / "s.mkv", "--record-raw", tmp_path / "raw.ts")
    assert live(run, "--source", tmp_path / "drone.ts", *sinks, "--mode", "lossless").exit_code() == 0
    with av.open(str(tmp_path / sink)) as container:
        packets = [(packet.stream.type, packet.pts, bytes(packet)) for packet in container.demux() if packet.size]
    received = [(pts, data) for kind, pts, data in packets if kind == "data"]
    first = min(pts for kind, pts, _ in packets if kind == "video")
    assert [data for _, data in received] == [data for _, data in sent]
    shift = received[0][0] - sent[0][0]
    assert [at - shift for at, _ in received] == [at for at, _ in sent]
    assert abs(received[0][0] - first) <= 3_600 * 3


class LossyRoad(threading.Thread):
    """Forwards datagrams from one port to another, and loses two of a hundred."""

    def __init__(self, source: int, target: int) -> None:
        super().__init__(daemon=True)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", source))
        self._target = ("127.0.0.1", target)
        self._luck = np.random.default_rng(5)
        self.lost = 0
        self.start()

    def run(self) -> None:
        while True:
            datagram = self._socket.recv(65536)
            if self._luck.random() < 0.02:
                self.lost += 1
            else:
                self._socket.sendto(datagram, self._target)


def test_lost_packets_cost_pictures_and_not_the_stream(run, tmp_path):
    road, source, sidecar, movie = udp_port(), udp_port(), tmp_path / "s.jsonl", tmp_path / "s.mkv"
    program = live(run, "--source", f"rtp://127.0.0.1:{source}", "--sink", sidecar, "--sink", movie)
    lossy = LossyRoad(road, source)
    publish(run, "-f", "rtp", f"rtp://127.0.0.1:{road}")
    lines = grown(sidecar, 150)
    assert lossy.lost > 10
    assert program.end() == 0
    assert lines[-1]["stats"]["frames_received"] >= 150
    assert program.count("gone") == 0
    with av.open(str(movie)) as container:
        assert sum(1 for _ in container.decode(video=0)) >= 150


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_rtsp_is_read_from_a_server_that_restarts(run, rtsp_server, tmp_path, transport):
    port, sidecar = free_port(), tmp_path / "s.jsonl"

    server = rtsp_server(port)
    url = f"rtsp://127.0.0.1:{port}/camera"
    program = live(run, "--source", url, "--rtsp-transport", transport, "--sink", sidecar)
    before = len(grown(sidecar, 20))
    server.end(signal.SIGKILL)
    program.wait_for("the source is gone")
    rtsp_server(port)
    program.wait_for("the source is back")
    lines = grown(sidecar, before + 20)
    assert all(after["time_ns"] > before["time_ns"] for before, after in pairwise(lines))
    assert program.end() == 0


def test_a_sink_that_cannot_be_written_harms_no_other(run, tmp_path):
    sidecar = tmp_path / "s.jsonl"
    program = live(run, "--source", "test:", "--sink", tmp_path / "nowhere" / "s.mkv", "--sink", sidecar)
    grown(sidecar, 20)
    program.wait_for("a sink fails")
    assert program.end() == 0
    assert program.count("a sink fails") == 1


@pytest.mark.parametrize("kind", ["rtsp", "tcp", "fifo", "y4m"])
def test_a_sink_that_does_not_answer_holds_up_nobody(run, tmp_path, kind):
    """FFmpeg waits for it with the interpreter's lock held: whoever does not answer is not given to FFmpeg."""
    sidecar, fifo = tmp_path / "s.jsonl", tmp_path / "pipe.ts"
    os.mkfifo(fifo)
    with socket.create_server(("127.0.0.1", 0), backlog=1) as silent, ExitStack() as stack:
        port = silent.getsockname()[1]
        if kind == "tcp":  # a full backlog: connections are not even taken
            for _ in range(3):
                probe = stack.enter_context(socket.socket())
                probe.setblocking(False)
                probe.connect_ex(("127.0.0.1", port))
        sink = {"fifo": fifo, "y4m": f"y4m:{fifo}"}.get(kind, f"{kind}://127.0.0.1:{port}/steady")
        program = live(run, "--source", "test:", "--sink", sink, "--sink", sidecar)
        grown(sidecar, 60)
        if kind in ("rtsp", "tcp"):
            program.wait_for("a sink fails")
        assert program.end() == 0
    assert len(lines_of(sidecar)) >= 60


def test_an_interrupted_recording_is_whole(run, tmp_path):
    movie, sidecar = tmp_path / "s.mp4", tmp_path / "s.jsonl"
    program = live(run, "--source", "test:", "--sink", movie, "--sink", sidecar)
    grown(sidecar, 20)
    assert program.end(signal.SIGINT) == 0
    assert len(times_of(movie)) >= 20


def test_a_second_signal_does_not_wait_for_a_server_that_hangs(run, tmp_path):
    address, sidecar = f"127.0.0.1:{free_port()}", tmp_path / "s.jsonl"
    server = run(*COMMAND, "serve", "--listen", address)
    server.wait_for("serving")
    program = live(run, "--source", "test:", "--sink", sidecar, "--server", address)
    grown(sidecar, 10)
    server.process.send_signal(signal.SIGSTOP)
    program.process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        program.process.wait(1)
    assert program.end(signal.SIGINT) == 130
    assert program.said[-1] == "flowgimbal live: interrupted"


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (("--sink", "x.mp4"), 2, "source: where do the pictures come from?"),
        (("--source", "test:"), 2, "sink: where do the pictures go?"),
        (("--source", "none.mp4", "--sink", "x.mp4"), 1, "none.mp4: cannot be opened"),
        (("--source", "test:", "--sink", "x.mp4", "--smoothing-strength", 2), 2, "smoothing_strength: 2"),
        (("--source", "rtsp://127.0.0.1:1/x", "--sink", "x.mp4"), 1, "rtsp://127.0.0.1:1/x: cannot be opened"),
    ],
)
def test_what_cannot_work_is_said_at_once(flowgimbal, arguments, code, complaint):
    done = flowgimbal("live", *arguments)
    assert done.returncode == code
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_it_does_not_write_over_its_source(flowgimbal, tmp_path):
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(BUNDLED_CLIP.read_bytes())
    done = flowgimbal("live", "--source", clip, "--sink", clip)
    assert (done.returncode, clip.read_bytes()) == (2, BUNDLED_CLIP.read_bytes())
    assert "is the source" in done.stderr
    done = flowgimbal("live", "--source", clip, "--sink", "a.mkv", "--record-raw", "a.mkv")
    assert done.returncode == 2
    assert "given twice" in done.stderr


def test_a_source_that_fails_is_not_taken_for_a_page_that_fails(flowgimbal):
    done = flowgimbal("live", "--source", "none.mp4", "--web", "127.0.0.1:0")
    assert done.returncode == 1
    assert "none.mp4: cannot be opened" in done.stderr


def test_a_picture_that_ends_every_stream_ends_the_command(flowgimbal, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    picture = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8))[1].tobytes()
    for number in range(5):
        (folder / f"{number}.jpg").write_bytes(picture if number < 4 else picture[:-900])
    done = flowgimbal("live", "--source", folder, "--sink", "s.mkv", "--mode", "lossless", "--look-ahead-frames", 0)
    assert done.returncode == 1
    assert "data: " in done.stderr
    assert [done.stderr.count(words) for words in ("ended the stream", "the server is gone")] == [1, 0]


def test_a_damaged_unit_in_a_file_costs_no_more_than_itself(flowgimbal, tmp_path):
    clip = bytearray(BUNDLED_CLIP.read_bytes())
    with av.open(str(BUNDLED_CLIP)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        place = packets[60].pos
        del packets
    clip[place : place + 4] = b"\xff\xff\xff\xf0"  # the length of its first NAL unit
    (tmp_path / "damaged.mp4").write_bytes(bytes(clip))
    done = flowgimbal("live", "--source", "damaged.mp4", "--sink", "s.jsonl")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert len(lines_of(tmp_path / "s.jsonl")) > 60


def test_a_drained_server_is_followed_by_another_at_once(run, tmp_path):
    """The one that drains ends the stream well; the one that answers next has to be sent all since the key frame."""
    address, sidecar, movie = f"127.0.0.1:{free_port()}", tmp_path / "s.jsonl", tmp_path / "s.mkv"
    supervisor = run(*COMMAND, "serve", "--listen", address, "--processes", 2, "--engine", "identity")
    supervisor.wait_for("processes=2")
    program = live(run, "--source", BUNDLED_CLIP, "--server", address, "--sink", sidecar, "--sink", movie)
    grown(sidecar, 20)
    workers = psutil.Process(supervisor.process.pid).children()
    serving = max(workers, key=lambda one: sum(one.cpu_times()[:2]))
    serving.terminate()
    program.wait_for("drains: moving on")
    assert program.exit_code() == 0
    times = [line["time_ns"] for line in lines_of(sidecar)]
    assert times == sorted(set(times))
    assert len(times) > 100  # all of the 125 but those that came while there was no server
    assert supervisor.end() == 0


def test_an_earlier_recording_is_kept(flowgimbal, tmp_path):
    (tmp_path / "clip.mp4").write_bytes(BUNDLED_CLIP.read_bytes())
    (tmp_path / "flight.ts").write_bytes(b"of yesterday")
    done = flowgimbal("live", "--source", "clip.mp4", "--sink", "flight.ts")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "flight.ts").read_bytes() == b"of yesterday"
    assert len(times_of(tmp_path / "flight-2.ts")) > 60
    assert "recording to flight-2.ts" in done.stderr
