"""What may wait before the stages."""

from __future__ import annotations

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
