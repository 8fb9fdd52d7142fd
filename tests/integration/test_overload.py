"""More than the machine can carry: a live stream loses frames evenly and keeps up, a lossless one is slowed down."""

from __future__ import annotations

import itertools
import statistics

LIMIT = 300


def test_live_frames_are_lost_evenly_and_what_returns_is_new(launch, connect, wire):
    server = launch(engine="cpu")
    data = wire.jpeg(1920, 1080)
    # As fast as the socket takes them: far above what any machine stabilizes.
    frames = (wire.frame(i, data) for i in range(LIMIT))
    steady = connect(server.address).exchange([wire.config(look_ahead_frames=0), *frames])
    ids = [f.frame.frame_id for f in steady]
    lost = LIMIT - len(ids)
    assert lost > 0
    assert ids == sorted(set(ids))
    assert steady[-1].stats.frames_received == LIMIT
    assert steady[-1].stats.frames_dropped == lost
    assert ids[-1] == LIMIT - 1  # the newest is never the one that goes
    counts = [f.stats.frames_dropped for f in steady]
    assert counts == sorted(counts)


def test_a_camera_faster_than_the_machine_sees_gaps_of_one_size(launch, connect, wire):
    server = launch(engine="cpu")
    data = wire.jpeg(1920, 1080)
    stream = connect(server.address).stream(wire.config(look_ahead_frames=0))
    stream.info()
    # Four new frames for each that comes back: the machine's own pace, whatever that is.
    ids = itertools.count()
    returned = []
    for _ in range(60):
        stream.send(*(wire.frame(next(ids), data) for _ in range(4)))
        returned += [f.frame.frame_id for f in stream.frames(1)]
    stream.half_close()
    returned += [f.frame.frame_id for f in stream.frames()]
    gaps = [after - before for before, after in itertools.pairwise(returned)]
    assert 240 not in returned
    assert max(gaps) <= 4 * statistics.median(gaps) + 4
    assert statistics.median(gaps) >= 2
