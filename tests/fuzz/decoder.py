"""Target: one encoding's frames through the header's checks, the decoder and an encoder, as a stream would send them.

The bytes are the input's and the output's encoding and the mode (one each), then frames: width, height, stride and
length of the data (16 bits each), and the data.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowgimbal.server.codecs.codec import RawFrame
from flowgimbal.server.codecs.table import CODECS, inspect
from flowgimbal.server.errors import StreamError, Undecodable
from flowgimbal.server.job import Job
from flowgimbal.server.stages import Decode, Encode
from flowgimbal.server.stream_config import StreamSettings
from flowgimbal.v1 import stabilizer_pb2 as pb
from fuzz import returned
from fuzz.choices import Choices
from fuzz.verdict import demand, judge

INPUTS: Sequence[Any] = (*CODECS, pb.ENCODING_UNSPECIFIED, 99)
OUTPUTS = (pb.ENCODING_UNSPECIFIED, *CODECS)
MAX_PIXELS = 1 << 16
"""Small, so that a picture that costs much is one whose cost was not foreseen."""


def run(data: bytes) -> None:
    """One input; raises ServersFault, or whatever the server's code fails with."""
    choices = Choices(data)
    encoding = choices.one_of(INPUTS)
    settings = StreamSettings(lossless=bool(choices.number(1) % 2), output_encoding=choices.one_of(OUTPUTS))
    road = _Road(settings)
    try:
        while choices:
            width, height, stride = (choices.number(2) for _ in range(3))
            road.carry(encoding, width, height, stride, choices.take(choices.number(2)))
        road.finish()
    except StreamError as error:
        judge(error)


class _Road:
    """A stream's first and last stage, and counts of what went in and what came of it."""

    def __init__(self, settings: StreamSettings) -> None:
        self._settings = settings
        self._taken = self._dropped = self._returned = 0
        self._size: tuple[int, int] | None = None
        self._decode = Decode(settings, MAX_PIXELS, self._drop)
        self._encode = Encode(settings, self._drop)

    def carry(self, encoding: pb.Encoding, width: int, height: int, stride: int, data: bytes) -> None:
        frame = RawFrame(self._taken, self._taken * 33_333_333, encoding, width, height, stride, data)
        self._taken += 1
        try:
            self._size = inspect(frame, MAX_PIXELS) or self._size
        except Undecodable:
            if self._settings.lossless:
                raise
            self._drop()
            return
        depends = CODECS[encoding].depends
        for job in self._decode.work(
            Job.of(frame, self._size, self._settings, depends=depends, key_frames_asked=0, replayed=False)
        ):
            self._give_back(job)

    def finish(self) -> None:
        for job in self._decode.flush():
            self._give_back(job)
        demand(self._taken == self._dropped + self._returned, vars(self))

    def _give_back(self, job: Job) -> None:
        job.transform = [1, 0, 0, 0, 1, 0, 0, 0, 1]
        for done in self._encode.work(job):
            if done.response is not None:
                returned.check(done.response.frame, MAX_PIXELS)
                self._returned += 1

    def _drop(self) -> None:
        self._dropped += 1
