"""``python -m flowgimbal.client.cli``: the same as ``flowgimbal``."""

from flowgimbal.client.cli.main import entry

entry()
