"""What a client may say on Stream, well or badly formed, read from choices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from flowgimbal.engines.shapes import COLUMNS, ROWS
from flowgimbal.v1 import stabilizer_pb2 as pb
from fuzz.choices import Choices
from fuzz.pictures import ENCODINGS, LENGTH, SIZES, sequence

STEP_NS = 33_333_333
WILD = 24
"""One in so many values may be anything: a stream that ends at once is a stream that nothing else was tried on."""
_MODES = (pb.MODE_UNSPECIFIED, pb.MODE_LIVE, pb.MODE_LOSSLESS, pb.MODE_LOSSLESS)
_CROP_POLICIES = pb.CropPolicy.values()
_COUNTS = (
    ("output_quality", 1, 100),
    ("look_ahead_frames", 0, 8),
    ("key_frame_interval", 1, 8),
    ("output_bit_rate", 10_000, 10_200),
)
_PARTS = (("smoothing_strength", 1.0), ("max_crop_ratio", 0.5))
_POINT_BYTES = 1 + 8 + 3 * 4 + 4 * 4 * ROWS * COLUMNS


@dataclass(slots=True)
class Clip:
    """What a client's next frame would be if all went well."""

    encoding: pb.Encoding = pb.ENCODING_GRAY8
    size: tuple[int, int] = SIZES[0]
    sent: int = 0


def config(choices: Choices) -> pb.StreamConfig:
    """Settings; each is left out, sensible, or anything that the field holds."""
    found = pb.StreamConfig(mode=_some(choices, _MODES, 7))
    if choices.chance(4):
        found.output_encoding = _some(choices, ENCODINGS, 99)
    if choices.chance(4):
        found.crop_policy = _some(choices, _CROP_POLICIES, 9)
    for name, low, high in _COUNTS:
        if choices.chance(4):
            wild = choices.chance(WILD)
            setattr(found, name, choices.integer(32) if wild else low + choices.number(1) % (high - low + 1))
    for name, most in _PARTS:
        if choices.chance(4):
            wild = choices.chance(WILD)
            setattr(found, name, choices.real() if wild else choices.number(1) / 255 * most)
    if choices.chance(4):
        found.pins.CopyFrom(_pins(choices))
    found.resumable = choices.chance(3)
    if choices.chance(8):
        found.resume.CopyFrom(resume(choices))
    return found


def _some(choices: Choices, known: Sequence[int], unknown: int) -> Any:
    """A value of an enumeration; now and then one that it does not have."""
    return unknown if choices.chance(WILD) else choices.one_of(known)


def _pins(choices: Choices) -> pb.Pins:
    found = pb.Pins()
    wild = choices.chance(WILD)
    for _ in range(choices.number(1) % (18 if wild else 4)):
        sides = (choices.integer(32) if wild else 1 + choices.number(1) % 64 for _ in range(4))
        found.regions.add(**dict(zip(("x", "y", "width", "height"), sides, strict=True)))
    return found


def resume(choices: Choices) -> pb.Resume:
    """Where another server left off; the points of the path have the right form, or not quite."""
    found = pb.Resume(after_frame_id=choices.integer(64) if choices.chance(4) else choices.number(1) % 16)
    for _ in range(choices.number(1) % 4):
        point = bytearray(b"\1" + choices.take(8).ljust(_POINT_BYTES - 1, b"\0"))
        if choices.chance(4):
            point[choices.number(2) % len(point)] = choices.number(1)
        found.path.append(bytes(point[: choices.number(2) if choices.chance(WILD) else None]))
    if choices.chance(WILD):
        found.path.extend([b"\2"] * choices.number(2))
    return found


def frame(choices: Choices, clip: Clip) -> pb.Frame:
    """The next frame of the clip, with what one byte in some makes wrong."""
    if choices.chance(6):
        clip.encoding = choices.one_of(ENCODINGS)
    if choices.chance(6):
        clip.size = choices.one_of(SIZES)
    found = pb.Frame(
        frame_id=clip.sent,
        capture_time_ns=clip.sent * STEP_NS % 2**63,
        encoding=clip.encoding,
        width=clip.size[0],
        height=clip.size[1],
        data=sequence(clip.encoding, clip.size)[clip.sent % LENGTH],
    )
    clip.sent += 1
    if choices.chance(8):
        _spoil(choices, found, clip)
    return found


def _spoil(choices: Choices, frame: pb.Frame, clip: Clip) -> None:
    kind = choices.number(1) % 9
    if kind == 0:
        frame.frame_id = choices.integer(64)
        clip.sent = frame.frame_id + 1 if frame.frame_id < 2**63 else clip.sent
    elif kind == 1:
        frame.capture_time_ns = choices.integer(64, signed=True)
    elif kind == 2:
        frame.encoding = _some(choices, (*ENCODINGS, pb.ENCODING_UNSPECIFIED), 99)
    elif kind == 3:
        frame.width, frame.height, frame.stride = (choices.integer(32) for _ in range(3))
    elif kind == 4:
        frame.data = choices.take(choices.number(2))
    elif kind == 5:
        frame.data = frame.data[: choices.number(2)]
    elif kind == 6:  # any size that its data fits
        frame.encoding = pb.ENCODING_GRAY8
        frame.width, frame.height, frame.stride = 1 + choices.number(1), 1 + choices.number(1), 0
        frame.data = bytes(frame.width * frame.height)
    else:
        data = bytearray(frame.data)
        for _ in range(1 + choices.number(1) % 8):
            data[choices.number(2) % len(data)] = choices.number(1)
        frame.data = bytes(data)


def tuning(choices: Choices) -> pb.Tuning:
    """A change of settings; most leave alone what cannot change."""
    found = pb.Tuning(config=config(choices), key_frame=choices.chance(2))
    if not choices.chance(WILD):
        for name in ("mode", "output_encoding", "resumable", "resume"):
            found.config.ClearField(name)
    return found


def request(choices: Choices, clip: Clip) -> pb.StreamRequest:
    """Any request: frames mostly, then tunings, a configuration, nothing at all, or whatever some bytes are read as."""
    if not choices.chance(WILD):
        if choices.number(1) % 5:
            return pb.StreamRequest(frame=frame(choices, clip))
        return pb.StreamRequest(tuning=tuning(choices))
    kind = choices.number(1) % 3
    if kind == 0:
        return _parsed(choices.take(choices.number(1)))
    return pb.StreamRequest(config=config(choices)) if kind == 1 else pb.StreamRequest()


def _parsed(data: bytes) -> pb.StreamRequest:
    found = pb.StreamRequest()
    try:
        found.ParseFromString(data)
    except DecodeError:
        return pb.StreamRequest()
    return found
