"""Pictures that come and go over a network: ffmpeg publishes, ffmpeg reads."""

from __future__ import annotations

import subprocess
from itertools import pairwise

import numpy as np
from e2e.live.programs import live, needs_ffmpeg, publish
from e2e.live.recordings import lines_of, times_of
from e2e.ports import free_port, udp_port

from flowgimbal.client.assets import BUNDLED_CLIP
from flowgimbal.client.sources.opening import session_description

pytestmark = needs_ffmpeg


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
    times = times_of(received)[1:]  # the first one is FFmpeg's guess where it listened before we sent
    assert len(times) == 49
    assert all(after > before for before, after in pairwise(times))
    assert abs(np.median(np.diff(times)) - 1 / 25) < 0.002
    assert program.end() == 0
    sent = [line["time_ns"] for line in lines_of(sidecar)]
    assert all(after > before for before, after in pairwise(sent))


def test_rtsp_is_published_and_read(run, tmp_path):
    port, received = free_port(), tmp_path / "received.mkv"
    url = f"rtsp://127.0.0.1:{port}/steady"
    reader = run("ffmpeg", "-v", "error", "-rtsp_flags", "listen", "-i", url, "-c", "copy", "-frames:v", 40, received)
    program = live(run, "--source", "test:", "--sink", url)
    assert reader.exit_code() == 0
    assert len(times_of(received)) == 40
    assert program.end() == 0


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


def test_h265_over_rtp_both_ways(run, tmp_path):
    source, sink, received = udp_port(), udp_port(), tmp_path / "received.mkv"
    session = tmp_path / "out.sdp"
    session.write_text(session_description("127.0.0.1", sink, "H265"))
    ways = ("--source", f"rtp+h265://127.0.0.1:{source}", "--sink", f"rtp://127.0.0.1:{sink}")
    program = live(run, *ways, "--output-encoding", "hevc", "--key-frame-interval", 12)
    coding = ("-vf", "scale=320:180", "-an", "-c:v", "libx265", "-preset", "ultrafast", "-tune", "zerolatency")
    quiet = ("-x265-params", "log-level=none:repeat-headers=1:keyint=12")
    playing = ("ffmpeg", "-v", "error", "-re", "-stream_loop", -1, "-i", BUNDLED_CLIP)
    run(*playing, *coding, *quiet, "-f", "rtp", f"rtp://127.0.0.1:{source}")
    program.wait_for("stream ")
    reader = run("ffmpeg", "-v", "error", "-protocol_whitelist", "file,udp,rtp", "-i", session, "-c", "copy",
                 "-frames:v", 30, received)  # fmt: skip
    assert reader.exit_code() == 0
    times = times_of(received)[1:]  # the first one is FFmpeg's guess where it listened before we sent
    assert len(times) == 29
    assert all(after > before for before, after in pairwise(times))
    assert program.end() == 0
