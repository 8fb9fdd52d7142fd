"""A folder of pictures, in the order of their names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Self

import cv2

from flowgimbal.client.errors import MediaError
from flowgimbal.client.settings import Encoding
from flowgimbal.client.sources.pace import paced
from flowgimbal.client.sources.unit import Unit

_JPEG = (".jpg", ".jpeg")
_OTHERS = (".png", ".bmp", ".webp", ".tif", ".tiff")


class PicturesSource:
    """See ``LiveSource``. JPEGs pass as they are."""

    ends = True

    def __init__(self, folder: str | Path, frame_rate: float = 30.0) -> None:
        self._folder = Path(folder)
        self._rate = frame_rate
        self._paths: list[Path] = []

    def __enter__(self) -> Self:
        found = sorted(self._folder.iterdir())
        self._paths = [path for path in found if path.suffix.lower() in _JPEG + _OTHERS]
        if not self._paths:
            raise MediaError(f"{self._folder}: there is no picture in it ({', '.join(_JPEG + _OTHERS)})")
        return self

    def __exit__(self, *_: object) -> None:
        self._paths = []

    def units(self) -> Iterator[Unit]:
        """See ``LiveSource``."""
        times = (round(number * 1e9 / self._rate) for number in range(len(self._paths)))
        return paced(self._read(path, time_ns) for time_ns, path in zip(times, self._paths, strict=True))

    def _read(self, path: Path, time_ns: int) -> Unit:
        if path.suffix.lower() in _JPEG:
            return Unit(path.read_bytes(), Encoding.JPEG, 0, 0, time_ns)
        image = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if image is None:
            raise MediaError(f"{path}: cannot be read as a picture")
        return Unit(image.tobytes(), Encoding.BGR8, image.shape[1], image.shape[0], time_ns)
