"""The synchronous face: the same frames, the same errors, and no thread left behind."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading

import numpy as np
import pytest

from flowgimbal.client import StreamClosed, SyncClient, Unavailable


def picture(value: int) -> np.ndarray:
    return np.full((4, 6, 3), value, np.uint8)


def threads() -> set[str]:
    return {thread.name for thread in threading.enumerate() if thread.name.startswith("flowgimbal-client")}


async def away(work, *args):
    """The server lives on the test's loop, so the synchronous client works in another thread."""
    return await asyncio.to_thread(work, *args)


async def test_a_plain_for_loop(address, echo):
    echo.look_ahead = 2

    def work():
        with SyncClient(address) as client:
            assert client.health()
            assert client.info().version == "1.2.3"
            return [
                (steady.frame_id, int(steady.image[0, 0, 0]))
                for steady in client.stabilize(picture(i) for i in range(9))
            ]

    assert await away(work) == [(i, i) for i in range(9)]
    assert not threads()


async def test_send_receive_and_lock_step(address, echo):
    echo.look_ahead = 1

    def work():
        with SyncClient(address) as client, client.stream(mode="live") as stream:
            assert stream.info.latency_frames == 1
            assert stream.send(picture(0)) == 0
            assert stream.send(picture(1), frame_id=7) == 7
            first = stream.receive()
            second = stream.exchange(picture(2))
            rest = [steady.frame_id for steady in stream.finish()]
            return first.frame_id, second.frame_id, rest

    assert await away(work) == (0, 7, [8])


async def test_a_loop_left_early_leaves_nothing_behind(address, echo):
    def work():
        with SyncClient(address) as client:
            for _ in client.stabilize(picture(0) for _ in range(10_000)):
                break

    await away(work)
    assert not threads()
    async with asyncio.timeout(30):
        await echo.over.wait()


async def test_errors_are_the_same():
    def work():
        with SyncClient("127.0.0.1:1") as client, pytest.raises(Unavailable):
            list(client.stabilize([picture(0)]))
        with pytest.raises(StreamClosed):
            client.info()

    await away(work)
    assert not threads()


async def test_a_source_that_fails(address):
    def frames():
        yield picture(0)
        raise OSError("camera unplugged")

    def work():
        with SyncClient(address) as client, pytest.raises(OSError, match="camera unplugged"):
            list(client.stabilize(frames()))

    await away(work)


LOOP = """
import itertools
import sys
import numpy as np
from flowgimbal.client import SyncClient

try:
    with SyncClient(sys.argv[1]) as client:
        for steady in client.stabilize(itertools.repeat(np.zeros((4, 6, 3), np.uint8))):
            print(steady.frame_id, flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


async def test_ctrl_c_is_what_a_program_hears_of_it(address):
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LOOP, address, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert await program.stdout.readline() == b"0\n"
    program.send_signal(signal.SIGINT)
    said, complaints = await asyncio.wait_for(program.communicate(), 60)
    assert said.endswith(b"interrupted\n")
    assert (program.returncode, complaints) == (0, b"")
