"""What may wait before the stages, and the threads that carry it along them."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from flowgimbal.server.codecs.codec import RawFrame
from flowgimbal.server.job import Job
from flowgimbal.server.pipeline import BACKLOG_BYTES, Pipeline
from flowgimbal.server.stages import Decode
from flowgimbal.server.stream_config import StreamSettings
from flowgimbal.server.turns import Turns
from flowgimbal.v1 import stabilizer_pb2 as pb

UNIT = bytes(5 << 20)


def job(number: int) -> Job:
    frame = RawFrame(number, number * 33_333_333, pb.ENCODING_H264, 0, 0, 0, UNIT)
    return Job.of(frame, (64, 48), StreamSettings(), depends=True, key_frames_asked=0, replayed=False)


async def test_large_units_that_nobody_decodes_are_let_go():
    settings = StreamSettings()
    pipeline = Pipeline("waiting", [Decode(settings, 1 << 20, lambda: None)], Turns(1), lossless=False)
    jobs = [job(number) for number in range(40)]
    dropped = 0
    for one in jobs:
        dropped += await pipeline.submit(one)
        waiting = pipeline._entry.each(lambda item: len(item.raw.data))
        assert sum(waiting) <= BACKLOG_BYTES + len(UNIT)
    shown = pipeline._entry.each(lambda item: not item.skipped)
    assert dropped == len(jobs) - sum(shown)
    assert any(one.after_gap for one in jobs)


class Passing:
    """A stage that lets every frame through."""

    name, on_cores = "passing", False

    def work(self, job: Job) -> Iterator[Job]:
        yield job

    def flush(self) -> Iterator[Job]:
        return iter(())


@pytest.mark.parametrize("there", [0, 1, 3])
async def test_one_thread_is_enough_where_no_more_can_be_had(monkeypatch: pytest.MonkeyPatch, there: int) -> None:
    left, start = [there], threading.Thread.start

    def scarce(thread: threading.Thread) -> None:
        if not left[0]:
            raise RuntimeError("can't start new thread")
        left[0] -= 1
        start(thread)

    pipeline = Pipeline("scarce", [Passing(), Passing(), Passing()], Turns(1), lossless=True)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", scarce)
        if not there:
            with pytest.raises(RuntimeError):
                pipeline.start()
        else:
            pipeline.start()
    if there:
        for number in range(5):
            await pipeline.submit(job(number))
        pipeline.end()
        assert [one.frame_id async for one in pipeline.results()] == list(range(5))
    pipeline.cancel()
    await pipeline.closed()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("scarce")]
