"""Several server processes behind one port."""

from __future__ import annotations

import contextlib
import os
import socket

import grpc
import psutil


def workers(server) -> list[psutil.Process]:
    return [child for child in server.ps.children() if "flowgimbal.server.worker" in child.cmdline()]


def connections(process: psutil.Process) -> int:
    return sum(one.status == psutil.CONN_ESTABLISHED for one in process.net_connections("tcp"))


def launch_two(launch, *flags):
    server = launch("--processes", "2", *flags)
    server.wait_for("serving", 3)  # one line from each, then the supervisor's
    return server


def test_connections_spread_over_the_processes(launch, connect, wire):
    server = launch_two(launch)
    for number in range(32):
        client = connect(server.address)
        frames = client.exchange([wire.lossless(), *(wire.frame(i) for i in range(3))])
        assert [f.frame.frame_id for f in frames] == [0, 1, 2], number
    shares = [connections(worker) for worker in workers(server)]
    assert len(shares) == 2
    assert sum(shares) == 32
    assert min(shares) > 0
    server.terminate()
    assert server.exit_code() == 0


def test_a_process_that_dies_is_started_again_and_the_other_never_notices(launch, connect, wire):
    server = launch_two(launch)
    streams = [connect(server.address).stream(wire.lossless(look_ahead_frames=0), wire.frame(0)) for _ in range(16)]
    for stream in streams:
        stream.info()
        stream.frames(1)
    victim, survivor = workers(server)
    kept, lost = connections(survivor), connections(victim)
    assert kept + lost == 16
    victim.kill()
    assert server.wait_for("a process ended")["code"] == -9
    server.wait_for("serving", 4)
    alive = 0
    for stream in streams:
        stream.send(wire.frame(1))
        stream.half_close()
        with contextlib.suppress(grpc.RpcError):
            alive += [f.frame.frame_id for f in stream.frames()] == [1]
    assert alive == kept
    assert len(workers(server)) == 2
    for _ in range(8):
        assert len(connect(server.address).exchange([wire.lossless(), wire.frame(0)])) == 1


def test_processes_drain_when_told_and_when_their_supervisor_is_gone(launch, connect, wire):
    for end in ("terminate", "kill"):
        server = launch_two(launch)
        stream = connect(server.address).stream(wire.lossless(), *(wire.frame(i) for i in range(30)))
        stream.info()
        stream.frames(1)
        left = workers(server)
        server.terminate() if end == "terminate" else server.process.kill()
        assert [f.frame.frame_id for f in stream.frames()] == list(range(1, 30))
        stream.half_close()
        gone, alive = psutil.wait_procs(left, 60)
        assert not alive
        assert len(gone) == 2
        assert server.exit_code() == (0 if end == "terminate" else -9)


def test_a_port_in_use_is_not_joined(launch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        server = launch("--processes", "2", "--listen", address, wait=False)
        assert server.exit_code() == 3
    assert f"listen: cannot bind {address}" in server.log[-1]["message"]
    first = launch_two(launch)
    second = launch("--processes", "2", "--listen", first.address, wait=False)
    assert second.exit_code() == 3


def test_processes_that_cannot_start_end_the_server(launch):
    server = launch("--processes", "2", engine="tensorrt", wait=False)
    assert server.exit_code() == 3
    assert any("engine: 'tensorrt' cannot run" in line["message"] for line in server.log)
    assert not [p for p in psutil.process_iter() if p.ppid() == server.process.pid]


def test_each_process_has_a_metrics_page_of_its_own(launch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = launch_two(launch, "--metrics-listen", f"127.0.0.1:{port}")
    pages = sorted(line["metrics"] for line in server.log if line["message"] == "serving" and "metrics" in line)
    assert pages == sorted(f"127.0.0.1:{port + number}" for number in range(2))
    assert os.getpgid(workers(server)[0].pid) != os.getpgid(server.process.pid)
