"""What a client may ask for: picture sizes, and places for streams and observers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from flowgimbal.server.errors import FrameTooLarge, InvalidArgument, TooMany

MAX_SIDE = 16_384
"""Longest side of a picture [pixels]: OpenCV's remap counts pixels in 16 bits with a sign."""

RETRY_AFTER_SECONDS = 1.0


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raise InvalidArgument for an empty picture, FrameTooLarge for one above the limits. Units: pixels."""
    if width <= 0 or height <= 0:
        message = f"a frame of {width}x{height} has no pixels; set width and height"
        raise InvalidArgument("FRAME_EMPTY", message, width=width, height=height)
    if width * height > max_pixels or max(width, height) > MAX_SIDE:
        raise FrameTooLarge(
            "FRAME_TOO_LARGE",
            f"a frame of {width}x{height} is above this server's limit of {max_pixels} pixels"
            f" and {MAX_SIDE} a side; send smaller frames or raise max_frame_pixels",
            width=width,
            height=height,
            max_frame_pixels=max_pixels,
        )


class Places:
    """Counts what runs, streams or observers. Not thread-safe: lives on the event loop."""

    def __init__(self, limit: int, what: str, whose: str = "this server") -> None:
        """``what`` they are called, and ``whose`` they are: ``max_{what}`` is the setting behind ``limit``."""
        self.limit = limit
        self._what = what
        self._whose = whose
        self._taken = 0

    @property
    def taken(self) -> int:
        """How many run now."""
        return self._taken

    @contextmanager
    def take(self) -> Iterator[None]:
        """Hold a place; raises TooMany, with a time to retry after, if there is none."""
        if self._taken >= self.limit:
            raise TooMany(
                f"TOO_MANY_{self._what.upper()}",
                f"all {self.limit} {self._what} of {self._whose} are in use; retry later or raise max_{self._what}",
                retry_after_seconds=RETRY_AFTER_SECONDS,
                **{f"max_{self._what}": self.limit},
            )
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1
