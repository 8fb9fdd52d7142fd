"""Where steady frames go."""

from flowgimbal.client.sinks.video import VideoSink

__all__ = ["VideoSink"]
