"""Lock-step with numpy arrays: python loop.py [ADDRESS]; a server must be running."""

import sys
from itertools import pairwise

import cv2
import numpy as np

from flowgimbal.client import SyncClient

address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50051"
chance = np.random.default_rng(7)
wall = cv2.resize(chance.integers(0, 255, (60, 80, 3), dtype=np.uint8), (800, 600), interpolation=cv2.INTER_CUBIC)


def jump(before, after):
    """How far the picture moved [pixels]."""
    one, other = (cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY).astype(np.float32) for picture in (before, after))
    return np.hypot(*cv2.phaseCorrelate(one, other)[0])


filmed, shown = [], []
with SyncClient(address) as client, client.stream(mode="lossless", look_ahead_frames=0) as stream:
    for number in range(90):
        x, y = (100 + 6 * chance.standard_normal(2)).astype(int)
        picture = wall[y : y + 360, x : x + 480]
        steady = stream.exchange(picture, capture_time_ns=number * 33_333_333)
        filmed.append(picture)
        shown.append(steady.image)

raw, calm = (np.median([jump(*pair) for pair in pairwise(p[30:])]) for p in (filmed, shown))
sys.stdout.write(f"jumps from frame to frame: {raw:.1f} px as filmed, {calm:.1f} px steady\n")
