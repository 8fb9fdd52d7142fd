"""H.264 and H.265: one access unit (Annex B) a frame, decoded and encoded by FFmpeg without delay.

A unit may need those before it: every one has to be decoded, also those whose picture is not wanted. FFmpeg conceals
what is damaged or lost as well as it can.
"""

from __future__ import annotations

import logging
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import av
import av.error
from av.codec.context import CodecContext
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame

from flowgimbal.engines.picture import Picture
from flowgimbal.server.codecs.access_unit import H264, HEVC, AccessUnit, NotAnAccessUnit, Syntax, read
from flowgimbal.server.codecs.codec import MAX_REORDERED, Attached, Decoded, EncoderSettings, RawFrame
from flowgimbal.server.codecs.planes import colour_of, copied, viewed
from flowgimbal.server.errors import EngineFailure, InvalidArgument, Undecodable

logger = logging.getLogger(__name__)

_CLOCK = Fraction(1, 1_000_000)
_PIXELS_PER_THREAD = 1 << 21
_SETTLED = 12  # frames after which the frame rate is known
_MAX_RATE = 1000
_LOW_DELAY = {"preset": "ultrafast", "tune": "zerolatency"}


@dataclass(frozen=True, slots=True)
class _Family:
    """One standard: its syntax, FFmpeg's decoder, and the encoders to try, the best first, with their options.

    ``least_side`` [pixels] is the least that the last of them, who is always there, takes.
    """

    name: str
    syntax: Syntax
    decoder: str
    encoders: Mapping[str, Mapping[str, str]]
    least_side: int = 1


_NVENC = {"preset": "p3", "tune": "ull", "zerolatency": "1", "delay": "0", "forced-idr": "1"}
FAMILIES = {
    "h264": _Family("H.264", H264, "h264", {"h264_nvenc": _NVENC, "libx264": _LOW_DELAY | {"forced-idr": "1"}}),
    "hevc": _Family(
        "H.265",
        HEVC,
        "hevc",
        {
            "hevc_nvenc": _NVENC,
            "libx265": _LOW_DELAY | {"forced-idr": "1", "x265-params": "log-level=none:pools=none:repeat-headers=1"},
        },
        least_side=16,
    ),
}


class VideoCodec:
    """One of ``FAMILIES``; width, height and stride of the message are not looked at."""

    depends = True

    def __init__(self, family: str) -> None:
        self._family = FAMILIES[family]

    def inspect(self, frame: RawFrame) -> tuple[int, int] | None:
        """The size, if the unit brings a sequence parameter set; None: as before. Raises Undecodable."""
        return _read(frame, self._family).size

    def check(self, frame: RawFrame) -> None:
        """Nothing: a unit of any length may be whole."""

    def decoder(self, max_pixels: int) -> VideoDecoder:
        """A decoder for one stream."""
        return VideoDecoder(self._family, max_pixels)

    def encoder(self, settings: EncoderSettings) -> VideoEncoder:
        """An encoder for one stream."""
        return VideoEncoder(self._family, settings)


class VideoDecoder:
    """To planes, in the order of presentation. Not thread-safe."""

    def __init__(self, family: _Family, max_pixels: int) -> None:
        self._family = family
        self._max_pixels = max_pixels
        self._context = self._open()
        self._count = 0
        self._waiting: dict[int, tuple[int, tuple[bytes, ...]]] = {}  # by count: frame_id, user data

    def decode(self, frame: RawFrame) -> Sequence[Decoded]:
        """The pictures that are due now, as a rule this frame's own; raises Undecodable."""
        unit = _read(frame, self._family)
        packet = av.Packet(frame.data)
        self._count += 1
        packet.pts = packet.dts = self._count  # comes out with the picture: frame_id has a bit more than FFmpeg's clock
        self._waiting[self._count] = frame.frame_id, unit.user_data
        self._waiting.pop(self._count - MAX_REORDERED, None)
        try:
            return self._decoded(self._context.decode(packet))
        except av.error.FFmpegError as error:
            self._waiting.pop(self._count, None)
            raise _undecodable(f"FFmpeg cannot decode it ({error.strerror})", self._family) from error

    def flush(self) -> Sequence[Decoded]:
        """The pictures that waited for others to be shown before them."""
        try:
            return self._decoded(self._context.decode(None))
        except av.error.FFmpegError:
            return ()

    def lost(self) -> None:
        """Units are missing: begin anew at the next that needs none before it."""
        self._context = self._open()
        self._waiting.clear()

    def _decoded(self, pictures: Sequence[VideoFrame]) -> list[Decoded]:
        found = []
        for picture in pictures:
            if picture.pts not in self._waiting:
                continue  # made up for a unit that never came
            frame_id, user_data = self._waiting.pop(picture.pts)
            planes = viewed(picture) or viewed(picture.reformat(format="yuv420p"))
            if planes is not None:
                found.append(Decoded(frame_id, planes, Attached(colour_of(picture), user_data)))
        return found

    def _open(self) -> VideoCodecContext:
        context = _context(self._family.decoder, "r")
        context.thread_count = 1  # more threads would hold frames back
        context.options = {"max_pixels": str(self._max_pixels)}
        return context


class VideoEncoder:
    """From planes to access units, one a picture; a change of size or of colour begins a new sequence."""

    def __init__(self, family: _Family, settings: EncoderSettings) -> None:
        self._family = family
        self._settings = settings
        self._context: VideoCodecContext | None = None
        self._made_for: object = None
        self._last_us = -1
        self._key_frame = False
        self._rate = Fraction(30)
        self._times: list[int] = []

    def encode(self, picture: Picture, attached: Attached, capture_time_ns: int) -> bytes:
        """One access unit; the first, and the first after ``force_key_frame``, needs none before it.

        Raises InvalidArgument for a picture that is too small.
        """
        self._check(picture)
        frame = copied(picture, attached.colour)
        self._measure(capture_time_ns)
        made_for = (frame.width, frame.height, frame.format.name, attached.colour)
        if self._context is None or made_for != self._made_for:
            self._context, self._made_for, self._last_us = self._open(frame), made_for, -1
        self._last_us = max(capture_time_ns // 1000, self._last_us + 1)
        frame.pts, frame.time_base = self._last_us, _CLOCK
        frame.pict_type = PictureType.I if self._key_frame else PictureType.NONE
        self._key_frame = False
        packets = self._context.encode(frame)
        if len(packets) != 1:
            raise EngineFailure(
                "ENCODER_FAILED", f"the {self._family.name} encoder gave {len(packets)} units for one picture"
            )
        return self._with_user_data(bytes(packets[0]), attached.user_data)

    def force_key_frame(self) -> None:
        """Make the next picture one that a decoder can begin with."""
        self._key_frame = True

    def _check(self, picture: Picture) -> None:
        least = self._family.least_side
        if min(picture.size) < least:
            raise InvalidArgument(
                "PICTURE_TOO_SMALL",
                f"output_encoding: {self._family.name} takes pictures of {least}x{least} and more, and one of"
                f" {picture.width}x{picture.height} came; send larger ones or set another output_encoding",
                field="output_encoding",
                width=picture.width,
                height=picture.height,
            )

    def _with_user_data(self, data: bytes, user_data: Sequence[bytes]) -> bytes:
        if not user_data:
            return data
        syntax = self._family.syntax
        place = read(data, syntax).slice_at
        return b"".join((data[:place], *map(syntax.sei_unit, user_data), data[place:]))

    def _measure(self, capture_time_ns: int) -> None:
        """Encoders meet a bit rate by the frame rate that they were told: tell them the one that frames come at."""
        if not self._settings.bit_rate or len(self._times) > _SETTLED:
            return
        self._times.append(capture_time_ns)
        if len(self._times) > _SETTLED:
            step = statistics.median(after - before for before, after in pairwise(self._times))
            rate = Fraction(1_000_000_000, max(1, int(step))).limit_denominator(1001)
            if 1 <= rate <= _MAX_RATE and not 0.8 < rate / self._rate < 1.25:
                self._rate, self._context = rate, None

    def _uncompressed_rate(self, frame: VideoFrame) -> int:
        """Bits per second of the pictures themselves, of which 24 bits a pixel are the most; no less than 10,000."""
        return max(10_000, int(24 * frame.width * frame.height * self._rate))

    def _open(self, frame: VideoFrame) -> VideoCodecContext:
        problems = []
        for name, options in self._family.encoders.items():
            try:
                context = self._prepared(name, options, frame)
                context.open()
            except (av.error.FFmpegError, ValueError) as error:
                problems.append(f"{name}: {error}")
                continue
            logger.debug("%s is encoded by %s", self._family.name, name)
            return context
        raise EngineFailure("ENCODER_FAILED", f"no {self._family.name} encoder takes this picture: {problems}")

    def _prepared(self, name: str, options: Mapping[str, str], frame: VideoFrame) -> VideoCodecContext:
        context = _context(name, "w")
        context.width, context.height, context.pix_fmt = frame.width, frame.height, frame.format.name
        context.time_base, context.framerate = _CLOCK, self._rate
        context.color_range, context.colorspace = frame.color_range, frame.colorspace
        context.color_primaries, context.color_trc = frame.color_primaries, frame.color_trc
        context.gop_size = self._settings.key_frame_interval
        context.max_b_frames = 0
        context.thread_count = 1 + frame.width * frame.height // _PIXELS_PER_THREAD
        if self._settings.bit_rate:
            rate = min(self._settings.bit_rate, self._uncompressed_rate(frame))  # x265 fails on rates far above
            context.bit_rate = rate
            control = {"maxrate": str(rate), "bufsize": str(rate // 2)}
        else:
            level = str(constant_quality(self._settings.quality))
            control = {"cq": level, "rc": "vbr"} if "nvenc" in name else {"crf": level}
        context.options = dict(options) | control
        return context


def constant_quality(quality: int) -> int:
    """The encoders' quantiser scale (CRF) for a quality of 1 to 100 on JPEG's scale: 90 is 20, 50 is 28."""
    return round(38 - 0.2 * quality)


def _context(name: str, mode: str) -> VideoCodecContext:
    context = CodecContext.create(name, mode)  # type: ignore[call-overload]
    if not isinstance(context, VideoCodecContext):
        raise TypeError(f"FFmpeg's {name} is no video codec")
    return context


def _read(frame: RawFrame, family: _Family) -> AccessUnit:
    try:
        return read(frame.data, family.syntax)
    except NotAnAccessUnit as error:
        raise _undecodable(str(error), family) from error


def _undecodable(why: str, family: _Family) -> Undecodable:
    message = f"data: not a {family.name} access unit in Annex B: {why}; send one whole unit a frame, a key frame first"
    return Undecodable("FRAME_UNDECODABLE", message, field="data")
