"""Steady a camera or a video file: python webcam.py [SOURCE] [ADDRESS]; a server must be running."""

import sys

import cv2

from flowgimbal.client import SyncClient

source = sys.argv[1] if len(sys.argv) > 1 else 0
address = sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1:50051"


def frames():
    """Pictures, as OpenCV reads them."""
    camera = cv2.VideoCapture(source)
    while (got := camera.read())[0]:
        yield got[1]


with SyncClient(address) as client:
    for steady in client.stabilize(frames(), mode="lossless", look_ahead_frames=0):
        sys.stdout.write(f"frame {steady.frame_id}: {steady.image.shape}, {steady.stats.total_ns / 1e6:.1f} ms\n")
