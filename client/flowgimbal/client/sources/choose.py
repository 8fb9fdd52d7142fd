"""Which source a URL means."""

from __future__ import annotations

from pathlib import Path

from flowgimbal.client.sources.pattern import PatternSource
from flowgimbal.client.sources.pictures import PicturesSource
from flowgimbal.client.sources.unit import LiveSource
from flowgimbal.client.sources.url import UrlSource
from flowgimbal.client.sources.webcam import WebcamSource

PATTERN = "test:"


def live_source(url: str, *, rtsp_transport: str = "tcp", frame_rate: float = 30.0) -> LiveSource:
    """The source for ``url``, not opened yet: ``test:``, a camera's device, a folder of pictures, or what FFmpeg reads.

    ``frame_rate`` [Hz] is that of a folder's pictures.
    """
    if url == PATTERN:
        return PatternSource()
    if url.startswith("/dev/video"):
        return WebcamSource(url)
    if "://" not in url and Path(url).is_dir():
        return PicturesSource(url, frame_rate)
    return UrlSource(url, rtsp_transport=rtsp_transport)
