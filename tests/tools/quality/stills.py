"""Before and after as one picture: the mean of some consecutive frames of each; what shakes is smeared."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, cast

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]

FRAMES = 6
_WIDTH = 480
_LABEL = 28
_MOST_BYTES = 140_000


def shakiest(path: Sequence[float], count: int = FRAMES) -> int:
    """The first of those ``count`` consecutive frames over which a path goes back and forth most."""
    bends = np.abs(np.diff(np.asarray(path, np.float64), 2))
    if len(bends) < count:
        return 0
    return int(np.argmax(np.convolve(bends, np.ones(count - 2), mode="valid")))


def mean_frame(video: Path, first: int, count: int = FRAMES) -> Picture:
    """The mean of ``count`` frames: (H, W, 3), BGR."""
    with av.open(str(video)) as container:
        frames = islice(container.decode(video=0), first, first + count)
        pictures = [frame.to_ndarray(format="bgr24") for frame in frames]
    return cast(Picture, np.mean(pictures, axis=0).astype(np.uint8))


def strip(panels: Sequence[tuple[str, Picture]]) -> bytes:
    """The pictures beside each other, each with its name, as a JPEG of at most 140 kB."""
    shown = []
    for name, picture in panels:
        height = round(picture.shape[0] * _WIDTH / picture.shape[1])
        panel: Any = cv2.resize(picture, (_WIDTH, height), interpolation=cv2.INTER_AREA)
        panel[:_LABEL] = panel[:_LABEL] // 3
        cv2.putText(panel, name, (10, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (255, 255, 255), 1, cv2.LINE_AA)
        shown.append(panel)
    picture = np.hstack(shown)
    data = b""
    for quality in (88, 80, 70, 60, 50):
        data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if len(data) <= _MOST_BYTES:
            break
    return data
