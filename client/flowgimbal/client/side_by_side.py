"""Two videos of the same frames in one picture: raw on the left, steady on the right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from flowgimbal.client.frame import Frame
from flowgimbal.client.sinks import VideoSink
from flowgimbal.client.sources import VideoSource


def put_side_by_side(raw: str | Path, steady: str | Path, out: str | Path, on_frame: Callable[[], None]) -> None:
    """Write both videos beside each other, with the times of ``raw``. MediaError for any of the files."""
    with VideoSource(raw) as left, VideoSource(steady) as right:
        form = replace(left.format, width=left.format.width + right.format.width)
        with VideoSink(out, form, sound_of=raw) as sink:
            for (ticks, before), (_, after) in zip(left.frames(), right.frames(), strict=False):
                images = [_labelled(before, "raw"), _labelled(after, "steady")]
                sink.write(Frame.from_array(np.hstack(images)), ticks)
                on_frame()


def _labelled(frame: Frame, text: str) -> np.ndarray:
    image = frame.image.copy()
    place = (frame.height // 24, frame.height // 12)
    for colour, thickness in (((0, 0, 0), 4), ((255, 255, 255), 1)):
        cv2.putText(image, text, place, cv2.FONT_HERSHEY_SIMPLEX, frame.height / 480, colour, thickness, cv2.LINE_AA)
    return image
