"""Several cameras or files at once: python many.py [--server ADDRESS] SOURCE..."""

import argparse
import asyncio
import sys

import cv2

from flowgimbal.client import Client, FlowgimbalError

arguments = argparse.ArgumentParser(description=__doc__)
arguments.add_argument("--server", default="127.0.0.1:50051")
arguments.add_argument("sources", nargs="+")
config = arguments.parse_args()


def pictures(source):
    """What OpenCV reads of it; read in a thread of its own by the client."""
    camera = cv2.VideoCapture(source)
    if not camera.isOpened():
        raise FlowgimbalError(f"{source}: cannot be opened")
    while (got := camera.read())[0]:
        yield got[1]


async def steady(client, source):
    """One camera, to its end."""
    count, cost = 0, 0
    async with client.stream(mode="lossless", look_ahead_frames=5) as stream:
        async for frame in stream.stabilize(pictures(source), frame_rate=30):
            count, cost = count + 1, cost + frame.stats.total_ns
    sys.stdout.write(f"{source}: {count} frames, {cost / max(1, count) / 1e6:.1f} ms each\n")


async def main():
    """All of them."""
    async with Client(config.server) as client:
        results = await asyncio.gather(*(steady(client, s) for s in config.sources), return_exceptions=True)
    failures = [result for result in results if result is not None]
    for failure in failures:
        sys.stderr.write(f"{failure}\n")
    return len(failures) > 0


sys.exit(asyncio.run(main()))
