"""No password of a URL is shown."""

from __future__ import annotations

import pytest

from flowgimbal.client.redact import shown


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("rtsp://user:secret@camera:554/stream?a=b", "rtsp://camera:554/stream?a=b"),
        ("rtsp://user:se%2Fcret@camera", "rtsp://camera"),
        ("rtsp://user:se@cret@camera/x", "rtsp://camera/x"),
        ("rtsp://token@camera/x@y", "rtsp://camera/x@y"),
        ("udp://239.0.0.1:5000", "udp://239.0.0.1:5000"),
        ("srt://host:9000?passphrase=secret&mode=caller", "srt://host:9000?passphrase=***&mode=caller"),
        ("srt://host:9000?mode=caller&passphrase=se/c@ret", "srt://host:9000?mode=caller&passphrase=***"),
        ("srt://host:9000?passphrase=s@cret", "srt://host:9000?passphrase=***"),
        ("clip.mp4", "clip.mp4"),
    ],
)
def test_passwords_are_left_out(url: str, seen: str) -> None:
    assert shown(url) == seen
