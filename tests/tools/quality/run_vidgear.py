"""PyPI's vidgear over one file, frame by frame as its manual does, with its defaults; in the peers' own environment.

    run_vidgear.py IN OUT.avi

It keeps the first frame and the last 25 to itself: output frame i shows input frame i + 1.
"""

from __future__ import annotations

import sys

import cv2
from vidgear.gears.stabilizer import Stabilizer


def main() -> int:
    source, output = sys.argv[1:3]
    video = cv2.VideoCapture(source)
    rate = video.get(cv2.CAP_PROP_FPS) or 30.0
    stabilizer = Stabilizer()
    writer: cv2.VideoWriter | None = None
    while (got := video.read())[0]:
        steady = stabilizer.stabilize(got[1])
        if steady is None:
            continue
        if writer is None:
            height, width = steady.shape[:2]
            writer = cv2.VideoWriter(output, cv2.VideoWriter.fourcc(*"FFV1"), rate, (width, height))
        writer.write(steady)
    stabilizer.clean()
    if writer is None:
        sys.stderr.write("vidgear returned no frame: the clip is shorter than its window\n")
        return 1
    writer.release()
    return 0


if __name__ == "__main__":
    sys.exit(main())
