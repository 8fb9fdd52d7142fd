"""A sink that fails or does not answer costs the others nothing."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack

import pytest
from e2e.live.programs import live
from e2e.live.recordings import grown, lines_of


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
