"""Ports that are free, for programs that are told theirs."""

from __future__ import annotations

import socket


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def udp_port() -> int:
    """An even one, as RTP wants, with its neighbour free for RTCP."""
    while (port := free_port(socket.SOCK_DGRAM)) % 2:
        pass
    return port
