"""Videos that lose nothing: what goes into every stabilizer is the same, to the bit."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from flowgimbal.client.sources import VideoFormat, VideoSource

_LOSSLESS = {"qp": "0", "preset": "veryfast", "bf": "0"}


def cut(source: Path, target: Path, limit: int) -> None:
    """The first ``limit`` pictures of ``source``, with their times, as they are stored: a rotation tag is dropped."""
    with VideoSource(source) as video:
        form = video.format
        odd = form.width % 2 or form.height % 2

        def pictures() -> Iterable[tuple[int, av.VideoFrame]]:
            for ticks, frame in islice(video.frames(), limit):
                if odd:
                    yield ticks, av.VideoFrame.from_ndarray(frame.image, format="bgr24")
                    continue
                planes = np.frombuffer(frame.data, np.uint8).reshape(-1, form.width)
                yield ticks, av.VideoFrame.from_ndarray(planes, format="yuv420p")

        _write(target, form, "yuv444p" if odd else "yuv420p", pictures())


def write(target: Path, rate: int, pictures: Iterable[NDArray[np.uint8]]) -> None:
    """Pictures (H, W, 3), BGR, of even sides, at ``rate`` frames/s."""
    frames = (
        (number, av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(format="yuv420p"))
        for number, picture in enumerate(pictures)
    )
    first = next(frames)
    form = VideoFormat(first[1].width, first[1].height, Fraction(rate), Fraction(1, rate))

    def all_frames() -> Iterable[tuple[int, av.VideoFrame]]:
        yield first
        yield from frames

    _write(target, form, "yuv420p", all_frames())


def _write(target: Path, form: VideoFormat, layout: str, pictures: Iterable[tuple[int, av.VideoFrame]]) -> None:
    partial = target.with_name(f".partial-{target.name}")
    clock = {"movie_timescale": str(form.time_base.denominator)}
    with av.open(str(partial), "w", options=clock) as container:
        stream: Any = container.add_stream("libx264", rate=form.rate, options=_LOSSLESS)
        stream.width, stream.height, stream.pix_fmt = form.width, form.height, layout
        stream.codec_context.time_base = stream.time_base = form.time_base
        stream.codec_context.color_range = form.colour_range
        stream.codec_context.colorspace = form.colour_space
        for ticks, picture in pictures:
            same = picture if picture.format.name == layout else picture.reformat(format=layout)
            same.pts, same.time_base = ticks, form.time_base
            container.mux(stream.encode(same))
        container.mux(stream.encode(None))
    partial.replace(target)
