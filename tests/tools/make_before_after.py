"""Draws the README's picture from a clip and its steady version: the mean of some consecutive frames of each.

    make_before_after.py SHAKY STEADY OUT [FIRST] [COUNT]

What stands still stays sharp in a mean, what shakes is smeared.
"""

from __future__ import annotations

import sys
from itertools import islice

import av
import cv2
import numpy as np


def mean_frame(clip: str, first: int, count: int) -> np.ndarray:
    """Mean of ``count`` frames from ``first`` on: uint8 (H, W, 3), BGR."""
    with av.open(clip) as container:
        frames = islice(container.decode(video=0), first, first + count)
        return np.mean([f.to_ndarray(format="bgr24") for f in frames], axis=0).astype(np.uint8)


def main() -> int:
    """Write the picture."""
    shaky, steady, out = sys.argv[1:4]
    first = int(sys.argv[4]) if len(sys.argv) > 4 else 30
    count = int(sys.argv[5]) if len(sys.argv) > 5 else 8
    pictures = []
    for clip, label in ((shaky, "raw"), (steady, "steady")):
        picture = mean_frame(clip, first, count)
        cv2.putText(picture, label, (14, 34), cv2.FONT_HERSHEY_DUPLEX, 1.0, (0, 0, 0), 4, cv2.LINE_AA)
        cv2.putText(picture, label, (14, 34), cv2.FONT_HERSHEY_DUPLEX, 1.0, (255, 255, 255), 2, cv2.LINE_AA)
        pictures.append(picture)
    gap = np.full((pictures[0].shape[0], 8, 3), 255, np.uint8)
    return 0 if cv2.imwrite(out, np.hstack([pictures[0], gap, pictures[1]])) else 1


if __name__ == "__main__":
    sys.exit(main())
