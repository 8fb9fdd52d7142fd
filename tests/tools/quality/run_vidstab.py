"""PyPI's vidstab over one file, frame by frame as its manual does, with its defaults; in the peers' own environment.

    run_vidstab.py IN OUT.avi

Not its ``stabilize(IN, OUT)``: in 1.7.4 that moves the last 31 frames all by the same transform, which would cost it a
fifth of a short clip.
"""

from __future__ import annotations

import sys

import cv2
from vidstab import VidStab

WINDOW = 30
"""Its default; as many black frames come before the first picture."""


def main() -> int:
    source, output = sys.argv[1:3]
    video = cv2.VideoCapture(source)
    rate = video.get(cv2.CAP_PROP_FPS) or 30.0
    stabilizer = VidStab()
    writer: cv2.VideoWriter | None = None
    returned = 0
    while True:
        found, frame = video.read()
        steady = stabilizer.stabilize_frame(input_frame=frame if found else None, smoothing_window=WINDOW)
        if steady is None:
            break
        returned += 1
        if returned <= WINDOW:
            continue
        if writer is None:
            height, width = steady.shape[:2]
            writer = cv2.VideoWriter(output, cv2.VideoWriter.fourcc(*"FFV1"), rate, (width, height))
        writer.write(steady)
    if writer is None:
        sys.stderr.write("vidstab returned no picture: the clip is shorter than its window\n")
        return 1
    writer.release()
    return 0


if __name__ == "__main__":
    sys.exit(main())
