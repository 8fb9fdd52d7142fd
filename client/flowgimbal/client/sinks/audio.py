"""The sound of one file, copied into another without being decoded."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from flowgimbal.client.errors import MediaError
from flowgimbal.client.sinks.container import holds

_USUAL_LAYOUTS = {"1 channels": "mono", "2 channels": "stereo"}
"""AVI and Matroska need not say which channel is which; MP4 must, and fails at its very end where nobody does."""


class AudioCopy:
    """Copies every audio track of ``path`` into ``out``; ``left_out`` says which ``out`` cannot hold.

    The file is opened once more for it, so that sound is read as the pictures advance and never piles up.
    """

    def __init__(self, path: str | Path, out: Any) -> None:
        self.left_out: list[str] = []
        self._out = out
        self._path = path
        try:
            self._container: Any = av.open(str(path))
        except (av.FFmpegError, OSError) as error:
            raise MediaError(f"{path}: cannot be opened for its sound: {error}") from error
        self._tracks: dict[int, Any] = {}
        for stream in self._container.streams.audio:
            codec = stream.codec_context.codec.canonical_name if stream.codec_context else "an unknown codec"
            if holds(out, codec):
                copy = self._tracks[stream.index] = out.add_stream_from_template(stream)
                if stream.layout.name in _USUAL_LAYOUTS:
                    copy.codec_context.layout = _USUAL_LAYOUTS[stream.layout.name]
                copy.metadata.update(stream.metadata)
            else:
                self.left_out.append(f"{out.format.name} cannot hold the {codec} sound: left out (try .mkv)")
        self._packets = self._read()
        self._next: Any = next(self._packets, None)

    def until(self, seconds: Fraction | None) -> None:
        """Write the sound that begins before ``seconds`` of the file; all that is left if None."""
        while self._next is not None:
            packet = self._next
            if seconds is not None and packet.dts * packet.time_base > seconds:
                return
            packet.stream = self._tracks[packet.stream.index]
            self._out.mux(packet)
            self._next = next(self._packets, None)

    def close(self) -> None:
        """Close the file that the sound comes from."""
        self._container.close()

    def _read(self) -> Iterator[Any]:
        tracks = [stream for stream in self._container.streams.audio if stream.index in self._tracks]
        if not tracks:
            return
        try:
            for packet in self._container.demux(tracks):
                if packet.dts is not None:  # the flush packet at the end carries nothing
                    yield packet
        except av.FFmpegError as error:
            raise MediaError(f"{self._path}: its sound cannot be read to the end: {error}") from error
