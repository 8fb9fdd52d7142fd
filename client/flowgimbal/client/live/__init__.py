"""A live source through a server to its sinks, for days: reads, forwards, reconnects, and says what happened."""

from flowgimbal.client.live.relay import Relay

__all__ = ["Relay"]
