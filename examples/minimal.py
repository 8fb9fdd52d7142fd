"""Steady a camera or a video file: python examples/minimal.py [SOURCE] [ADDRESS]; a server must be running."""

import sys

import cv2

from flowgimbal.client import SyncClient

camera = cv2.VideoCapture(sys.argv[1] if len(sys.argv) > 1 else 0)
address = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1:50051"

with SyncClient(address) as client:
    frames = iter(lambda: camera.read()[1], None)
    for steady in client.stabilize(frames, mode="lossless", look_ahead_frames=0):
        sys.stdout.write(f"frame {steady.frame_id}: {steady.image.shape}, {steady.stats.total_ns / 1e6:.1f} ms\n")
