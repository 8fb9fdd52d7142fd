"""The same pictures by the live road and by the file road: which comes out the steadier?"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import av
from tap import TICKS

from flowgimbal.client.steadiness import Comparison, Original, Report
from flowgimbal.client.steadiness.gray import Gray, gray_frames, shrink

LEAD_SECONDS, STRETCH_SECONDS = 10, 40
"""What a road has to come to rest, and what is measured then."""
LOOK = 300
"""Pictures at the beginning of two recordings of the same, among which there are some that both have."""


@dataclass(frozen=True)
class Roads:
    """The ruler's reports of one stretch: live, and as a file with the look-ahead of live and with a file's own.

    ``received`` is the share of the stretch's pictures that came through live: the others are left out of all three.
    """

    live: Report
    file: Report
    file_ahead: Report
    received: float


def compared(raw: Path, recorded: Path, received: Path, rate: int, folder: Path) -> Roads:
    """Measure the end of a run. ``received`` has a clock of its own, ``raw`` and ``recorded`` have another."""
    part, zero = cut(raw, LEAD_SECONDS + STRETCH_SECONDS, folder / "part.mkv")
    shift = clock_offset(received, recorded) - zero

    def number(time: int) -> int:
        return round(time * rate / TICKS)

    came = {number(time + shift) for time in times(received)}
    expected = [number(time) for time, _ in timed(part)]
    measured = {n for n in expected if n >= LEAD_SECONDS * rate}
    wanted = measured & came

    def of_file(path: Path) -> Iterator[Gray]:
        return (picture for n, picture in zip(expected, gray_frames(path), strict=True) if n in wanted)

    def of_live() -> Iterator[Gray]:
        numbered = ((number(time + shift), picture) for time, picture in timed(received))
        return (shrink(luma(picture)) for n, picture in numbered if n in wanted)

    file = stabilized(part, folder / "file.mkv", "--look-ahead-frames", "0")
    file_ahead = stabilized(part, folder / "file-ahead.mkv")
    original = Original()
    comparisons = [Comparison(original) for _ in range(3)]
    for raw_picture, *steady in zip(of_file(part), of_live(), of_file(file), of_file(file_ahead), strict=True):
        for comparison, picture in zip(comparisons, steady, strict=True):
            comparison.add(raw_picture, picture)
    return Roads(*(comparison.report(rate) for comparison in comparisons), len(wanted) / len(measured))


def stabilized(path: Path, steady: Path, *settings: str) -> Path:
    """A video after ``flowgimbal stabilize``."""
    command = (sys.executable, "-m", "flowgimbal.client.cli", "stabilize", str(path), str(steady), *settings)
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return steady


def cut(recording: Path, seconds: float, path: Path) -> tuple[Path, int]:
    """The last ``seconds`` of ``recording``, and what of its group comes before; when that begins [1/90000 s].

    The part, at ``path``, has times that begin at zero.
    """
    with av.open(str(recording)) as source, av.open(str(path), "w") as out:
        packets = [packet for packet in source.demux(video=0) if packet.size]
        latest = packets[-1].pts - round(seconds / packets[-1].time_base)
        begin = max(i for i, packet in enumerate(packets) if packet.is_keyframe and packet.pts <= latest)
        stream = out.add_stream_from_template(source.streams.video[0])
        zero, clock = packets[begin].pts, packets[begin].time_base
        for packet in packets[begin:]:
            packet.pts, packet.dts, packet.stream = packet.pts - zero, packet.dts - zero, stream
            out.mux(packet)
        return path, round(zero * clock * TICKS)


def clock_offset(received: Path, recorded: Path) -> int:
    """What to add to a time of ``received`` for that of the same picture in ``recorded`` [1/90000 s].

    RTP's times begin anywhere; the pictures are the same to the bit, and nothing but noise makes two of a kind.
    """
    first = islice(timed(recorded), LOOK)
    known = {hashlib.sha256(luma(picture)).digest(): time for time, picture in first}
    for time, picture in islice(timed(received), LOOK):
        if (found := known.get(hashlib.sha256(luma(picture)).digest())) is not None:
            return found - time
    raise ValueError(f"{received}: it has no picture in common with {recorded}")


def timed(path: Path) -> Iterator[tuple[int, av.VideoFrame]]:
    """The pictures of a recording and their times [1/90000 s]; what is damaged, at its beginning, is passed over."""
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            try:
                pictures = packet.decode()
            except av.FFmpegError:
                continue
            for picture in pictures:
                yield round(picture.pts * picture.time_base * TICKS), picture


def times(path: Path) -> list[int]:
    """Those of a recording's pictures [1/90000 s], not one of them decoded."""
    with av.open(str(path)) as container:
        return [round(packet.pts * packet.time_base * TICKS) for packet in container.demux(video=0) if packet.size]


def luma(picture: av.VideoFrame) -> Gray:
    """A picture's brightness: uint8 (H, W)."""
    return picture.to_ndarray(format="gray")
