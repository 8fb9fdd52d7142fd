"""A container that is written, and the connection or the pipe behind it, if there is one."""

from __future__ import annotations

from contextlib import suppress
from typing import IO, Any

import av

from flowgimbal.client.errors import MediaError
from flowgimbal.client.sinks.reach import opened


class Output:
    """Closed together. ``container`` is None while there is none."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._file: IO[bytes] | None = None
        self.container: Any = None

    def behind(self, url: str) -> IO[bytes] | None:
        """What to write to where that is a connection or a named pipe, see ``reach.opened``; kept until the end."""
        self._file = opened(url)
        return self._file

    def close(self) -> None:
        """Complete it; raises MediaError. A second call does nothing."""
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

    def drop(self) -> None:
        """Let go of what could not be written."""
        with suppress(MediaError):
            self.close()
