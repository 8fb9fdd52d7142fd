"""What goes wrong is said in one line, with the right exit code, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys

import numpy as np
import pytest

from flowgimbal.client import Client, Unavailable
from flowgimbal.client.assets import BUNDLED_CLIP
from flowgimbal.client.bench.process import server_process

CASES = [
    (("stabilize", "missing.mp4", "out.mp4"), 1, "missing.mp4: cannot be opened"),
    (("stabilize", "half.mp4", "out.mp4"), 1, "half.mp4: truncated"),
    (("stabilize", "text.mp4", "out.mp4"), 1, "text.mp4: cannot be opened"),
    (("stabilize", BUNDLED_CLIP, "out.unknown"), 1, "out.unknown: cannot be written"),
    (("stabilize", BUNDLED_CLIP, BUNDLED_CLIP), 2, "OUT is IN"),
    (("stabilize", BUNDLED_CLIP, "out.mp4", "--smoothing-strength", "3"), 2, "smoothing_strength"),
    (("stabilize", BUNDLED_CLIP, "out.mp4", "--mode", "slow"), 2, "--mode: 'slow' is none of"),
    (("stabilize", BUNDLED_CLIP, "out.mp4", "--flow", "guess"), 2, "flow: 'guess' is none of"),
    (("stabilize", BUNDLED_CLIP, "out.mp4", "--output-encoding", "hevc"), 2, "output_encoding"),
    (("stabilize", BUNDLED_CLIP, "out.mp4", "--server", "127.0.0.1:1"), 1, "no server at 127.0.0.1:1"),
    (("health", "--server", "127.0.0.1:1"), 1, "no server at 127.0.0.1:1"),
    (("health", "--tls-ca", "missing.pem"), 2, "missing.pem: No such file"),
    (("demo", "--out", ".", "--server", "127.0.0.1:1", "--tls-ca", "missing.pem"), 2, "missing.pem: No such file"),
    (("demo", "--out", ".", "--server", "127.0.0.1:1", "--token-file", "missing"), 2, "missing: No such file"),
    (("bench", "--server", "127.0.0.1:1", "--tls-ca", "missing.pem"), 2, "missing.pem: No such file"),
    (("train", "forecast", "--paths", "missing.npz", "--out", "out.npz"), 2, "missing.npz: No such file"),
    (("evaluate", "missing.mp4", BUNDLED_CLIP), 1, "missing.mp4: cannot be opened"),
    (("bench", "--size", "large"), 2, "size: 'large' is not WIDTHxHEIGHT"),
    (("serve", "--listen", "somewhere"), 2, "listen: 'somewhere'"),
]


@pytest.mark.parametrize(("arguments", "code", "message"), CASES)
def test_one_line_and_a_code(flowgimbal, tmp_path, arguments, code, message):
    (tmp_path / "half.mp4").write_bytes(BUNDLED_CLIP.read_bytes()[:300_000])
    (tmp_path / "text.mp4").write_text("no video")
    done = flowgimbal(*arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"flowgimbal {arguments[0]}: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["half.mp4", "text.mp4"]


def test_a_server_that_cannot_listen_exits_with_3(flowgimbal):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = flowgimbal("serve", "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert done.returncode == 3
    assert "flowgimbal serve: " in done.stderr


async def test_a_server_that_is_killed_in_the_middle_is_unavailable():
    picture = np.zeros((120, 160, 3), np.uint8)

    async def frames():
        for number in range(1000):
            if number == 20:
                server.kill()
            yield picture
            await asyncio.sleep(0.005)

    async def work(stream):
        async for _ in stream.stabilize(frames()):
            pass

    async with server_process("--engine", "identity") as server, Client(server.address) as client:
        assert await client.health()
        async with client.stream(look_ahead_frames=0) as stream:
            with pytest.raises(Unavailable, match="went away"):
                await work(stream)


@pytest.mark.parametrize(
    ("number", "interrupts"),
    [
        (signal.SIGINT, "SIG_DFL"),
        (signal.SIGTERM, "SIG_DFL"),
        (signal.SIGTERM, "SIG_IGN"),  # what a shell starts with `&` ignores Ctrl-C
    ],
)
async def test_an_interrupted_command_leaves_nothing_behind(tmp_path, number, interrupts):
    clip = tmp_path / "long.mp4"
    clip.write_bytes(BUNDLED_CLIP.read_bytes())
    # Not by `preexec_fn`: Python code in a fork of a process with gRPC's threads may crash.
    starter = f"import os, signal, sys; signal.signal(2, signal.{interrupts}); os.execv(sys.argv[1], sys.argv[1:])"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", starter),
        *(sys.executable, "-m", "flowgimbal.client.cli", "stabilize", clip, tmp_path / "out.mp4"),
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(120):
        while not list(tmp_path.glob(".out.*")) and process.returncode is None:  # noqa: ASYNC110 - a file appears
            await asyncio.sleep(0.01)
        process.send_signal(number)
        _, complaint = await process.communicate()
    assert process.returncode == 130, complaint
    assert complaint == b"flowgimbal stabilize: interrupted\n"
    assert [path.name for path in tmp_path.iterdir()] == ["long.mp4"]
