"""A client that behaves, beside others that do not: ``python healthy.py ADDRESS [TOKEN]``.

Streams the bundled clip, lossless, 320x180 at 15 Hz, until its stdin ends; then prints what it noticed, as JSON.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator

import cv2

from flowgimbal.client import Client, Encoding, Frame
from flowgimbal.client.assets import BUNDLED_CLIP

RATE = 15


def pictures() -> list[bytes]:
    """A few seconds of the clip as JPEG."""
    capture, found = cv2.VideoCapture(str(BUNDLED_CLIP)), []
    for _ in range(60):
        _, image = capture.read()
        found.append(cv2.imencode(".jpg", cv2.resize(image, (320, 180)))[1].tobytes())
    return found


async def run(address: str, token: str) -> dict[str, float]:
    """How many frames were sent and came back, and how long they took [s]."""
    done = asyncio.ensure_future(asyncio.to_thread(sys.stdin.read))
    sent: dict[int, float] = {}
    took: list[float] = []
    data = pictures()

    async def frames() -> AsyncIterator[Frame]:
        began = time.monotonic()
        for number in itertools.count():
            await asyncio.sleep(began + number / RATE - time.monotonic())
            if done.done():
                return
            sent[number] = time.monotonic()
            time_ns = number * 1_000_000_000 // RATE
            yield Frame(data[number % len(data)], Encoding.JPEG, frame_id=number, capture_time_ns=time_ns)

    async with Client(address, token=token) as client, client.stream(mode="lossless", look_ahead_frames=0) as stream:
        print("streaming", flush=True)  # noqa: T201
        async for steady in stream.stabilize(frames()):
            took.append(time.monotonic() - sent[steady.frame_id])
    ordered = sorted(took)
    return {
        "sent": len(sent),
        "returned": len(took),
        "p50": statistics.median(ordered),
        "p95": ordered[int(0.95 * (len(ordered) - 1))],
        "longest": ordered[-1],
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(sys.argv[1], "".join(sys.argv[2:])))))  # noqa: T201
