"""What is asked of a live stream that ran for long, and whether it was met."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from camera import RATE
from roads import STRETCH_SECONDS, Roads
from tap import TICKS, Passed, delays
from watch import Watch

MINUTE = 60.0
SETTLE_SECONDS = 30.0
"""What FFmpeg buffered while it looked at the stream comes at once."""
KEPT_SHARE, MEMORY_SHARE, TOLERANCE_DB = 0.99, 0.03, 0.5
POOLED_THREADS = 2
"""gRPC's pool takes on a thread when a busy machine keeps it waiting; a leak is more than that."""


@dataclass(frozen=True)
class Bar:
    """What was found, beside what is asked for."""

    found: str
    met: bool

    def __str__(self) -> str:
        return f"{'ok    ' if self.met else 'FAILED'} {self.found}"


def delay_kept(before: Sequence[Passed], after: Sequence[Passed], seconds: float) -> list[Bar]:
    """The delay of the last minutes beside that of the first."""
    found = delays(before, after, RATE)
    span = min(8 * MINUTE, seconds / 4)
    start, end = found[0][0] + SETTLE_SECONDS, found[-1][0]
    early, late = ([delay for at, delay in found if a <= at < a + span] for a in (start, end - span))
    quick = [statistics.quantiles(part, n=10)[0] for part in (early, late)]
    drift = statistics.median(late) - statistics.median(early)
    words = f"{(quick[1] - quick[0]) * 1e3:+.1f} ms (p10), {drift * 1e3:+.1f} ms (p50)"
    return [Bar(f"delay, last {span:.0f} s less first: {words}; within {1e3 / RATE:.0f} ms", abs(drift) < 1 / RATE)]


def pictures_kept(before: Sequence[Passed], after: Sequence[Passed], read: Sequence[int]) -> list[Bar]:
    """Counts, rates and times: on the wire, and those that ffmpeg ``read`` [1/90000 s]."""
    start = after[0].at + SETTLE_SECONDS
    stamps = [one.stamp for one in after if one.at >= start]
    kept = len(stamps) / sum(start <= one.at <= after[-1].at for one in before)
    rate = (len(stamps) - 1) / (stamps[-1] - stamps[0]) * TICKS
    steps = [(b - a) / TICKS for a, b in pairwise(read)]
    step = statistics.median(steps)
    shown = sum(one.stamp >= after[-1].stamp - (read[-1] - read[0]) for one in after)  # since ffmpeg had a key frame
    rising = all(b.stamp > a.stamp for a, b in pairwise(after)) and min(steps) > 0
    return [
        Bar(f"{kept:.2%} of the pictures came back, {rate:.2f} a second; {KEPT_SHARE:.0%} at least", kept > KEPT_SHARE),
        Bar(
            f"ffmpeg read {len(read)} of {shown}, {step * 1e3:.2f} ms from one to the next",
            len(read) > KEPT_SHARE * shown and abs(step - 1 / RATE) < 0.001,
        ),
        Bar("times rise from picture to picture, on the wire and as ffmpeg read them", rising),
    ]


def nothing_grew(watch: Watch) -> list[Bar]:
    """Memory, threads, descriptors."""
    growth, level = watch.growth(), statistics.median(sample.mebibytes for sample in watch.samples)
    memory = f"memory {growth.mebibytes:+.1f} of {level:.1f} MiB; less than {MEMORY_SHARE:.0%}"
    return [
        Bar(memory, growth.mebibytes < MEMORY_SHARE * level),
        Bar(f"threads {growth.threads:+d}; {POOLED_THREADS} may be of gRPC's pool", growth.threads <= POOLED_THREADS),
        Bar(f"descriptors {growth.descriptors:+d}; none", growth.descriptors <= 0),
    ]


def as_steady(roads: Roads) -> list[Bar]:
    """The ruler's figures of the last stretch."""
    live, file, ahead = roads.live, roads.file, roads.file_ahead
    share = f"of the last {STRETCH_SECONDS} s, {roads.received:.1%} of their pictures"
    shakes = f"{live.shake_in:.1f} px as filmed, {live.shake_out:.1f} live, {file.shake_out:.1f} as a file"
    gains = f"gain {live.gain_db:.2f} dB live, {file.gain_db:.2f} dB as a file at look-ahead 0"
    within = f"{ahead.gain_db:.2f} dB at a file's own look-ahead; within {TOLERANCE_DB:g} dB"
    return [Bar(f"shake {share}: {shakes}; {gains}, {within}", live.gain_db > file.gain_db - TOLERANCE_DB)]
