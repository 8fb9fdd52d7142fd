"""No password of a URL is shown."""

from __future__ import annotations

import pytest

from flowgimbal.client.redact import shown
from flowgimbal.client.sinks.reach import opened, reach


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("rtsp://user:secret@camera:554/stream?a=b", "rtsp://camera:554/stream?a=b"),
        ("rtsp://user:se%2Fcret@camera", "rtsp://camera"),
        ("rtsp://user:se@cret@camera/x", "rtsp://camera/x"),
        ("rtsp://user:se/cret@camera/x", "rtsp://camera/x"),
        ("rtsp://user:se?cret@camera:554/x?a=b", "rtsp://camera:554/x?a=b"),
        ("rtsp://user:se#cret@camera", "rtsp://camera"),
        ("rtsp://user:s@c/r@t@camera/x", "rtsp://camera/x"),
        ("rtsp://user:/@[fe80::1]:554/x", "rtsp://[fe80::1]:554/x"),
        ("rtsp://:123456/7@camera", "rtsp://camera"),
        ("rtsp://token@camera/x@y", "rtsp://y"),
        ("srt://host:9000?passphrase=secret&mode=caller", "srt://host:9000?passphrase=***&mode=caller"),
        ("srt://host:9000?mode=caller&passphrase=se/c@ret", "srt://host:9000?mode=caller&passphrase=***"),
        ("srt://host:9000?passphrase=s@cret", "srt://host:9000?passphrase=***"),
    ],
)
def test_passwords_are_left_out(url: str, seen: str) -> None:
    assert shown(url) == seen


@pytest.mark.parametrize(
    "url",
    [
        "udp://239.0.0.1:5000",
        "udp://239.0.0.1:5000?localaddr=10.0.0.1",
        "rtsp://camera/x@y",
        "rtsp://camera:554/x@y",
        "rtsp://camera?to=x@y",
        "rtsp://camera:554#x@y",
        "rtsp://[fe80::1]/x@y",
        "rtsp://[fe80::1]:554/x@y",
        "file:///clips/x@y.mp4",
        "clip.mp4",
        "x@y.mp4",
    ],
)
def test_what_names_nobody_stays_as_it_is(url: str) -> None:
    assert shown(url) == url


@pytest.mark.parametrize("look", [reach, opened])
def test_no_error_tells_what_may_be_of_a_password(look) -> None:
    with pytest.raises(OSError, match="%2F for /") as caught:
        look("tcp://user:S3/CR3T@camera/x")
    assert "S3" not in str(caught.value)
