"""What cannot work is said at once; what is damaged costs no more than itself."""

from __future__ import annotations

import av
import cv2
import numpy as np
import pytest
from e2e.command import COMMAND
from e2e.live.recordings import lines_of
from e2e.ports import free_port

from flowgimbal.client.assets import BUNDLED_CLIP


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


def test_a_token_that_the_server_does_not_know_is_said_at_once(run, flowgimbal, tmp_path):
    (tmp_path / "tokens.toml").write_text('[camera]\ntoken = "a-token-of-camera-7"\n')
    (tmp_path / "token").write_text("no-token-of-anybody")
    address = f"127.0.0.1:{free_port()}"
    flags = ("--listen", address, "--engine", "identity", "--tokens-file", tmp_path / "tokens.toml")
    server = run(*COMMAND, "serve", *flags)
    server.wait_for("serving")
    done = flowgimbal(
        "live", "--source", "test:", "--sink", "s.mkv", "--server", address, "--token-file", tmp_path / "token"
    )
    assert done.returncode == 1
    assert "token" in done.stderr


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
