"""Which streams the page shows."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from flowgimbal.client.client import Client


@dataclass(frozen=True, slots=True)
class Listed:
    """A stream, and the connection over which its server knows it. Sizes in pixels, counts in frames.

    ``address`` is that of the server where the connection has several; empty: the first.
    """

    client: Client
    stream_id: str
    label: str
    engine: str
    width: int = 0
    height: int = 0
    received: int = 0
    returned: int = 0
    dropped: int = 0
    address: str = ""

    def described(self) -> dict[str, Any]:
        """For the browser."""
        names = ("stream_id", "label", "engine", "width", "height", "received", "returned", "dropped")
        return {name: getattr(self, name) for name in names}


Board = Callable[[], Iterable[Listed]]
"""Lists the streams that run now."""


def find(board: Board, stream_id: str) -> Listed | None:
    """The stream of that id, if it runs."""
    return next((listed for listed in board() if listed.stream_id == stream_id), None)
