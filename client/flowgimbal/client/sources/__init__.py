"""Where frames come from."""

from flowgimbal.client.sources.format import VideoFormat
from flowgimbal.client.sources.video import VideoSource

__all__ = ["VideoFormat", "VideoSource"]
