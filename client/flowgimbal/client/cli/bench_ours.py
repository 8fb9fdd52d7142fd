"""What our stabilizing costs by itself, for ``flowgimbal bench --peers``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flowgimbal.client.bench.peers import Cost
    from flowgimbal.client.frame import Frame

_FRAME_NS = 33_333_333


def ours(frames: Sequence[Frame], engine: str, flow: str, warp: str, look_ahead: int) -> Cost:
    """CPU, wall and memory of the server's stabilizer on pictures that are decoded already, in this process."""
    from flowgimbal.client.bench.peers import Cost, own_memory
    from flowgimbal.engines.picker import pick
    from flowgimbal.server import process
    from flowgimbal.server.codecs.codec import RawFrame
    from flowgimbal.server.codecs.table import CODECS
    from flowgimbal.server.settings import Settings
    from flowgimbal.server.stabilizer import Stabilizer
    from flowgimbal.v1 import stabilizer_pb2 as pb

    process.tune()
    decoder = CODECS[pb.ENCODING_JPEG].decoder(1 << 30)
    pictures = [
        decoded.picture
        for i, f in enumerate(frames)
        for decoded in decoder.decode(RawFrame(i, i * _FRAME_NS, pb.ENCODING_JPEG, f.width, f.height, 0, f.data))
    ]
    before = own_memory()
    works = pick(engine, flow, warp)
    works.warm_up()
    stabilizer = Stabilizer(works, Settings(look_ahead=look_ahead), frames[0].width, frames[0].height)
    waiting: list[object] = []
    began, wall = time.process_time(), time.perf_counter()
    for i, picture in enumerate(pictures):
        held = works.hold(picture)
        waiting.append(held)
        seen = stabilizer.decide(stabilizer.measure(held, i * _FRAME_NS))
        if seen is not None:
            seen.transform(*picture.size)
            works.sample(waiting.pop(0), seen.mesh)
    spent, wall = time.process_time() - began, time.perf_counter() - wall
    works.close()
    return Cost(spent / len(frames), wall / len(frames), own_memory() - before, str(look_ahead))
