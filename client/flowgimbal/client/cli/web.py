"""What the commands with a page have in common."""

from __future__ import annotations

NO_WEB = "web: the page needs aiohttp; pip install 'flowgimbal[web]'"


def web_address(address: str) -> tuple[str, int]:
    """The two halves of HOST:PORT; ValueError, naming the option, if it is not that."""
    from flowgimbal.server.config import host_and_port

    return host_and_port("web", address)
