"""A stream's settings: the client's wishes, the server's defaults, and what comes of both."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import asdict, dataclass, field

from flowgimbal.server.codecs.codec import EncoderSettings
from flowgimbal.server.crop import MOST_CROPPED, Crop
from flowgimbal.server.errors import InvalidArgument, Unsupported
from flowgimbal.server.limits import MAX_SIDE
from flowgimbal.server.pins import Region
from flowgimbal.server.settings import Settings
from flowgimbal.v1 import stabilizer_pb2 as pb

MAX_LOOK_AHEAD_FRAMES = 60
MAX_PINS = 16
LOOK_AHEAD_LIVE = 0
LOOK_AHEAD_LOSSLESS = 15
DEFAULT_QUALITY = 90
DEFAULT_KEY_FRAME_INTERVAL = 60
BIT_RATES = (10_000, 1_000_000_000)
DEFAULT_STRENGTH = 0.8
DEFAULT_CROP_RATIO = 0.1

_CROPS = {
    pb.CROP_POLICY_UNSPECIFIED: Crop.FIXED,
    pb.CROP_POLICY_NONE: Crop.NONE,
    pb.CROP_POLICY_FIXED: Crop.FIXED,
    pb.CROP_POLICY_DYNAMIC: Crop.DYNAMIC,
}
_CROP_POLICIES = {crop: policy for policy, crop in _CROPS.items() if policy != pb.CROP_POLICY_UNSPECIFIED}


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """Every setting of a stream, resolved. The defaults of a stream stand here and nowhere else."""

    lossless: bool = False
    output_encoding: pb.Encoding = pb.ENCODING_UNSPECIFIED  # as the input
    encoder: EncoderSettings = field(default_factory=lambda: EncoderSettings(DEFAULT_QUALITY))
    stabilizer: Settings = field(default_factory=Settings)
    resumable: bool = False

    @property
    def latency_frames(self) -> int:
        """Frames that the first result waits for, itself not counted."""
        return self.stabilizer.look_ahead


def resolve(config: pb.StreamConfig, output_encodings: Collection[pb.Encoding]) -> StreamSettings:
    """The settings for ``config``; ``output_encodings`` are those that this build writes.

    Raises InvalidArgument, naming the field, for a value out of range; Unsupported for an encoding that is known to
    the contract and not to this build.
    """
    if config.mode not in pb.Mode.values():
        raise _out_of_range("mode", config.mode, "one of MODE_LIVE, MODE_LOSSLESS")
    if config.output_encoding not in pb.Encoding.values():
        raise _out_of_range("output_encoding", config.output_encoding, "a value of Encoding")
    if config.output_encoding not in {pb.ENCODING_UNSPECIFIED, *output_encodings}:
        raise unsupported_encoding("output_encoding", config.output_encoding, output_encodings)
    if config.crop_policy not in _CROPS:
        raise _out_of_range("crop_policy", config.crop_policy, "a value of CropPolicy")
    lossless = config.mode == pb.MODE_LOSSLESS
    look_ahead = LOOK_AHEAD_LOSSLESS if lossless else LOOK_AHEAD_LIVE
    return StreamSettings(
        lossless=lossless,
        output_encoding=config.output_encoding,
        encoder=EncoderSettings(
            quality=int(_number(config, "output_quality", DEFAULT_QUALITY, 1, 100)),
            bit_rate=int(_number(config, "output_bit_rate", 0, *BIT_RATES)),
            key_frame_interval=int(_number(config, "key_frame_interval", DEFAULT_KEY_FRAME_INTERVAL, 1, 600)),
        ),
        stabilizer=Settings(
            strength=_number(config, "smoothing_strength", DEFAULT_STRENGTH, 0, 1),
            look_ahead=int(_number(config, "look_ahead_frames", look_ahead, 0, MAX_LOOK_AHEAD_FRAMES)),
            crop=_CROPS[config.crop_policy],
            max_crop_ratio=_number(config, "max_crop_ratio", DEFAULT_CROP_RATIO, 0, MOST_CROPPED),
            pins=_pins(config.pins),
        ),
        resumable=config.resumable,
    )


def to_proto(settings: StreamSettings) -> pb.StreamConfig:
    """``settings`` as a message in which every scalar is set, but for what nobody asked for."""
    return pb.StreamConfig(
        mode=pb.MODE_LOSSLESS if settings.lossless else pb.MODE_LIVE,
        output_encoding=settings.output_encoding,
        output_quality=settings.encoder.quality,
        output_bit_rate=settings.encoder.bit_rate or None,
        key_frame_interval=settings.encoder.key_frame_interval,
        smoothing_strength=settings.stabilizer.strength,
        look_ahead_frames=settings.stabilizer.look_ahead,
        crop_policy=_CROP_POLICIES[settings.stabilizer.crop],
        max_crop_ratio=settings.stabilizer.max_crop_ratio,
        pins=pb.Pins(regions=[pb.Region(**asdict(region)) for region in settings.stabilizer.pins]),
        resumable=settings.resumable,
    )


def tuned(
    settings: StreamSettings, change: pb.StreamConfig, output_encodings: Collection[pb.Encoding]
) -> StreamSettings:
    """``settings`` with what ``change`` sets; raises as ``resolve``, and InvalidArgument for what must stay."""
    before = to_proto(settings)
    after = to_proto(settings)
    after.MergeFrom(change)
    if change.HasField("pins"):  # a merge would append them
        after.pins.CopyFrom(change.pins)
    for name in ("mode", "output_encoding", "resumable", "resume"):
        if getattr(after, name) != getattr(before, name):
            message = f"{name}: cannot change within a stream; open another one"
            raise InvalidArgument("TUNING_FIXED", message, field=name)
    return resolve(after, output_encodings)


def unsupported_encoding(field: str, encoding: pb.Encoding, supported: Collection[pb.Encoding]) -> Unsupported:
    """The refusal of an encoding that the contract knows and this build lacks."""
    names = ", ".join(pb.Encoding.Name(known) for known in sorted(supported))
    name = pb.Encoding.Name(encoding)
    message = f"{field}: this build lacks {name}; use one of {names}"
    return Unsupported("ENCODING_UNSUPPORTED", message, field=field, encoding=name)


def _number(config: pb.StreamConfig, name: str, default: float, low: float, high: float) -> float:
    if not config.HasField(name):
        return default
    value: float = getattr(config, name)
    if not math.isfinite(value) or not low <= value <= high:
        raise _out_of_range(name, value, f"within [{low}, {high}]")
    return value


def _pins(pins: pb.Pins) -> tuple[Region, ...]:
    if len(pins.regions) > MAX_PINS:
        raise _out_of_range("pins", f"a list of {len(pins.regions)}", f"at most {MAX_PINS} regions")
    for region in pins.regions:
        if max(region.x, region.y) >= MAX_SIDE or not (0 < region.width <= MAX_SIDE and 0 < region.height <= MAX_SIDE):
            shown = f"{region.x},{region.y},{region.width},{region.height}"
            raise _out_of_range("pins", shown, f"x,y,width,height with sides of 1 to {MAX_SIDE} pixels")
    return tuple(Region(region.x, region.y, region.width, region.height) for region in pins.regions)


def _out_of_range(name: str, value: object, wanted: str) -> InvalidArgument:
    return InvalidArgument("VALUE_OUT_OF_RANGE", f"{name}: {value} is not {wanted}", field=name, value=value)
