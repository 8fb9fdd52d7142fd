"""SRT on both sides: spoken by PyAV's FFmpeg where that has it, else by the ffmpeg program through pipes."""

from __future__ import annotations

import shlex
import shutil
import socket
import subprocess
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
from e2e.command import COMMAND
from e2e.live.programs import live, publish
from e2e.live.recordings import grown, times_of
from e2e.ports import udp_port

from flowgimbal.client.protocols import speaks
from flowgimbal.client.sinks import srt

LIMIT = 60


def has_srt(program: str = "ffmpeg") -> bool:
    if shutil.which(program) is None:
        return False
    listed = subprocess.run([program, "-v", "error", "-protocols"], capture_output=True, text=True, check=False)
    return "srt" in listed.stdout.split()


pytestmark = pytest.mark.skipif(not has_srt(), reason="needs an ffmpeg program with SRT")
needs_srt_inside = pytest.mark.skipif(not speaks("srt"), reason="the FFmpeg inside this PyAV has no SRT")
needs_none_inside = pytest.mark.skipif(speaks("srt"), reason="the FFmpeg inside this PyAV has SRT")


def listens(port: int) -> None:
    """Returns once somebody does."""
    limit = time.monotonic() + LIMIT
    while True:
        try:
            return srt.greet("127.0.0.1", port, 0.5)
        except OSError:
            assert time.monotonic() < limit, f"nobody listens on {port}"
            time.sleep(0.05)


def receiver(run, port: int, path: Path):
    """ffmpeg, waiting for a call, and ending with forty pictures of it."""
    source = f"srt://127.0.0.1:{port}?mode=listener"
    program = run("ffmpeg", "-v", "error", "-i", source, "-c", "copy", "-frames:v", 40, path)
    listens(port)
    return program


def rises(path: Path) -> bool:
    times = times_of(path)
    return len(times) == 40 and all(after > before for before, after in pairwise(times))


@needs_srt_inside
def test_srt_in_and_srt_out(run, tmp_path):
    source, sink, sidecar, received = udp_port(), udp_port(), tmp_path / "s.jsonl", tmp_path / "received.ts"
    ways = ("--source", f"srt://127.0.0.1:{source}?mode=listener", "--sink", f"srt://127.0.0.1:{sink}")
    reader = receiver(run, sink, received)
    program = live(run, *ways, "--sink", sidecar)
    listens(source)
    camera = publish(run, "-f", "mpegts", f"srt://127.0.0.1:{source}")
    assert reader.exit_code() == 0
    assert rises(received)
    program.wait_for("a sink fails")  # the reader hung up
    reader = receiver(run, sink, tmp_path / "again.ts")
    assert reader.exit_code() == 0
    assert rises(tmp_path / "again.ts")
    seen = len(grown(sidecar, 1))
    camera.end()
    program.wait_for("the source is gone")
    listens(source)
    publish(run, "-f", "mpegts", f"srt://127.0.0.1:{source}")
    lines = grown(sidecar, seen + 20)
    assert all(after["time_ns"] > before["time_ns"] for before, after in pairwise(lines))
    assert program.end() == 0


@needs_srt_inside
def test_an_srt_sink_that_does_not_answer_holds_up_nobody(run, tmp_path):
    sidecar = tmp_path / "s.jsonl"
    program = live(run, "--source", "test:", "--sink", f"srt://127.0.0.1:{udp_port()}", "--sink", sidecar)
    grown(sidecar, 60)
    assert program.count("a sink fails") == 1
    assert program.end() == 0


def test_srt_through_pipes(run, tmp_path):
    """As docs/live.md says: the ffmpeg program before and behind."""
    source, sink, received = udp_port(), udp_port(), tmp_path / "received.ts"
    reader = receiver(run, sink, received)
    carry = ("ffmpeg", "-v", "error", "-analyzeduration", "500000", "-probesize", "100000", "-i")
    onward = ("-c", "copy", "-f", "mpegts")
    pipeline = (
        (*carry, f"srt://127.0.0.1:{source}?mode=listener", *onward, "-"),
        (*COMMAND, "live", "--source", "-", "--sink", "-"),
        (*carry, "-", *onward, f"srt://127.0.0.1:{sink}"),
    )
    program = run("sh", "-c", " | ".join(map(shlex.join, pipeline)))
    listens(source)
    camera = publish(run, "-f", "mpegts", f"srt://127.0.0.1:{source}")
    assert reader.exit_code() == 0
    assert rises(received)
    camera.end()
    program.exit_code()


def test_nobody_and_rubbish_are_told_from_srt():
    port = udp_port()
    with pytest.raises(OSError, match=r"refused|nobody answers"):
        srt.greet("127.0.0.1", port, 0.2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", port))
        other.settimeout(LIMIT)
        answering = threading.Thread(target=lambda: other.sendto(b"what?", other.recvfrom(2000)[1]))
        answering.start()
        with pytest.raises(OSError, match="is not SRT"):
            srt.greet("127.0.0.1", port, 5)
        answering.join()


@needs_none_inside
@pytest.mark.parametrize(
    "ways", [("--source", "srt://h:9000", "--sink", "s.ts"), ("--source", "test:", "--sink", "srt://h:9000")]
)
def test_without_srt_it_is_said_at_once(flowgimbal, ways):
    done = flowgimbal("live", *ways)
    assert done.returncode == 1
    assert "srt://h:9000: the FFmpeg inside PyAV does not speak srt; the ffmpeg program can carry it" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_sink_that_waits_for_a_call_is_refused(flowgimbal):
    """FFmpeg would wait with the interpreter's lock held."""
    done = flowgimbal("live", "--source", "test:", "--sink", "srt://127.0.0.1:9000?mode=listener&passphrase=secret")
    assert done.returncode == 1
    assert "a sink calls and is not called" in done.stderr
    assert "secret" not in done.stderr
