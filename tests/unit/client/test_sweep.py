"""``flowgimbal bench --sweep``: one setting after another, the others as they were given."""

from __future__ import annotations

import json

import pytest

from flowgimbal.client import Mode
from flowgimbal.client.cli import bench_sweep
from flowgimbal.client.cli.bench import Config
from flowgimbal.client.cli.main import main


async def test_one_setting_is_varied_at_a_time():
    given = Config(streams=3, frames=77, size="640x480", encoding="i420")
    seen: list[Config] = []

    async def measure(config):
        seen.append(config)
        return {"cpu_seconds_per_frame": {"server": 0.01}}

    found = [figures async for figures in bench_sweep.sweep(given, measure)]
    for figures, config in zip(found, seen, strict=True):
        name = figures["varied"]
        assert getattr(config, name) == figures["value"]
        for other in {"size", "streams", "frames", "look_ahead_frames", "encoding"} - {name}:
            assert getattr(config, other) == getattr(given, other)
        assert config.settings().mode is Mode.LOSSLESS
    assert {figures["varied"] for figures in found} == {"size", "streams", "look_ahead_frames", "frames"}
    assert found[0]["megapixels"] == 0.23


def test_every_run_is_a_line(monkeypatch, capsys):
    monkeypatch.setattr(bench_sweep, "_VARIED", {"look_ahead_frames": (0, 3), "streams": (2,)})
    common = ["bench", "--sweep", "--engine", "identity", "--size", "64x48", "--frames", "30"]
    assert main(common) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("varied")
    assert [line.split()[:2] for line in lines[1:]] == [
        ["look_ahead_frames", "0"],
        ["look_ahead_frames", "3"],
        ["streams", "2"],
    ]
    assert main([*common, "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert [run["frames_received"] for run in figures] == [30, 30, 60]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--mode", "live", "--look-ahead-frames", "15"], "mode: live loses"),
        (["--sweep", "--peers"], "sweep"),
        (["--processes", "0"], "processes: 0 is less than 1"),
    ],
)
def test_what_cannot_be_measured_is_refused(arguments, complaint, capsys):
    assert main(["bench", *arguments]) == 2
    assert complaint in capsys.readouterr().err
