"""A container that is written, and what it is written to: stdout, a connection, a named pipe, a device or a file."""

from __future__ import annotations

import logging
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import av

from flowgimbal.client.errors import MediaError
from flowgimbal.client.sinks.reach import opened

logger = logging.getLogger(__name__)

PIPE = "-"
LEAST = 25
"""Pictures that make a recording worth keeping when it has to be begun anew."""


class Output:
    """Closed together. ``container`` is None while there is none; ``written`` counts its pictures, by who writes them.

    A file that is there already is left alone: ``target`` then takes the next free name.
    """

    def __init__(self, name: str, url: str) -> None:
        self._name = name
        self._url = url.removeprefix("file:")
        self._file: IO[bytes] | None = None
        self._recording = ""
        self.container: Any = None
        self.written = 0

    def target(self) -> Any:
        """What to write to; a connection or a named pipe is kept until the end, see ``reach.opened``."""
        if self._url == PIPE:
            return sys.stdout.buffer
        self._file = opened(self._url)
        if self._file is not None:
            return self._file
        if "://" in self._url:
            return self._url
        # Neither what this recording has, where it had to be begun anew, nor an earlier flight's is overwritten. What a
        # full disk took next to nothing of is: it is tried every second.
        if self._recording and self.written < LEAST:
            return self._recording
        path, number = Path(self._url), 1
        while path.is_file():
            number += 1
            path = path.with_name(f"{Path(self._url).stem}-{number}{path.suffix}")
        if number > 1:
            logger.info("%s is there already: recording to %s", self._name, path)
        self._recording, self.written = str(path), 0
        return self._recording

    def close(self) -> None:
        """Complete it; raises MediaError. A second call does nothing."""
        self._recording = ""
        self._end()

    def drop(self) -> None:
        """Let go of what could not be written."""
        with suppress(MediaError):
            self._end()

    def _end(self) -> None:
        container, self.container = self.container, None
        try:
            if container is not None:
                container.close()
        except (av.FFmpegError, OSError) as error:
            raise MediaError(f"{self._name}: cannot be completed: {error.strerror or error}") from error
        finally:
            file, self._file = self._file, None
            if file is not None:
                with suppress(OSError):
                    file.close()
