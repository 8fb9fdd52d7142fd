"""File to file against a server that gives every frame back, or not."""

from __future__ import annotations

import pytest

from flowgimbal.client import ServerFault, StreamSettings
from flowgimbal.client.assets import BUNDLED_CLIP
from flowgimbal.client.sources import VideoSource
from flowgimbal.client.transcode import stabilize_file

LOSSLESS = StreamSettings(mode="lossless")


async def test_frames_and_times_go_through(address, echo, tmp_path):
    echo.look_ahead = 15
    seen = []
    out = tmp_path / "out.mp4"
    result = await stabilize_file(
        BUNDLED_CLIP, out, address, LOSSLESS, on_start=seen.append, on_frame=lambda: seen.append(1)
    )
    assert (result.sent, result.received, result.dropped, result.notes) == (125, 125, 0, ())
    assert seen == [125, *[1] * 125]
    with VideoSource(out) as source:
        assert [ticks * source.format.time_base * 25 for ticks, _ in source.frames()] == list(range(125))
    assert {frame.encoding for frame in echo.frames} == {4}  # I420
    assert [frame.capture_time_ns for frame in echo.frames] == [40_000_000 * i for i in range(125)]


@pytest.mark.parametrize("fault", ["loses", "repeats", "invents"])
async def test_a_server_that_miscounts_is_found_out(address, echo, tmp_path, monkeypatch, fault):
    honest = echo._steady

    def steady(frame):
        numbers = {"repeats": 59, "invents": 1000}
        if frame.frame_id == 60:
            frame.frame_id = numbers.get(fault, 60)
        return honest(frame)

    monkeypatch.setattr(echo, "_steady", steady)
    if fault == "loses":
        echo.lost = 60
    with pytest.raises(ServerFault, match="returned"):
        await stabilize_file(BUNDLED_CLIP, tmp_path / "out.mp4", address, LOSSLESS)
    assert not list(tmp_path.iterdir())
