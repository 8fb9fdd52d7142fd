"""A camera of this machine (V4L2), through OpenCV."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Self

import cv2

from flowgimbal.client.errors import MediaError
from flowgimbal.client.settings import Encoding
from flowgimbal.client.sources.unit import Unit


class WebcamSource:
    """``device`` as /dev/video0. See ``LiveSource``; times are this machine's, when the picture had come."""

    ends = False

    def __init__(self, device: str) -> None:
        self._device = device
        self._camera: cv2.VideoCapture | None = None

    def __enter__(self) -> Self:
        camera = cv2.VideoCapture(self._device, cv2.CAP_V4L2)
        if not camera.isOpened():
            camera.release()
            raise MediaError(f"{self._device}: cannot be opened as a camera; is it there, free, and yours to read?")
        camera.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self._camera = camera
        return self

    def __exit__(self, *_: object) -> None:
        camera, self._camera = self._camera, None
        if camera is not None:
            camera.release()

    def units(self) -> Iterator[Unit]:
        """See ``LiveSource``."""
        while self._camera is not None:
            there, image = self._camera.read()
            if not there:
                raise MediaError(f"{self._device}: lost: the camera gives no more pictures")
            yield Unit(image.tobytes(), Encoding.BGR8, image.shape[1], image.shape[0], time.monotonic_ns())
