"""A line of JSON for each frame: its transform, its times and the stream's counts."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from flowgimbal.client.errors import MediaError
from flowgimbal.client.sinks.shot import Shot


class SidecarSink:
    """Appends to ``path``. ``transform`` is row-major, pixel of the raw picture -> pixel of the steady one.

    Recordings of the same run show the frame at ``time_ns - start_ns``.
    """

    def __init__(self, path: str | Path) -> None:
        self.name = str(path)
        self._file: TextIO | None = None

    def write(self, shot: Shot) -> None:
        """See ``Sink``."""
        if shot.steady is None:
            return
        line = {
            "frame_id": shot.steady.frame_id,
            "time_ns": shot.time_ns,
            "start_ns": shot.start_ns,
            "width": shot.width,
            "height": shot.height,
            "transform": shot.steady.transform.ravel().tolist(),
            "stats": asdict(shot.steady.stats),
        }
        try:
            if self._file is None:
                self._file = Path(self.name).open("a", encoding="utf-8", buffering=1)  # noqa: SIM115 - until close()
            self._file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise MediaError(f"{self.name}: cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """See ``Sink``."""
        file, self._file = self._file, None
        if file is not None:
            file.close()
