"""What a client may wish of a stream: the fields of ``StreamConfig``, none of which has a default on this side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, TypedDict

from flowgimbal.v1 import stabilizer_pb2 as pb


class Mode(StrEnum):
    """How the server treats frames that come faster than it can stabilize them."""

    LIVE = "live"
    LOSSLESS = "lossless"


class Encoding(StrEnum):
    """How the pixels of a frame are laid out; the contract documents each."""

    BGR8 = "bgr8"
    RGB8 = "rgb8"
    NV12 = "nv12"
    I420 = "i420"
    GRAY8 = "gray8"
    JPEG = "jpeg"
    H264 = "h264"
    HEVC = "hevc"


class CropPolicy(StrEnum):
    """How the picture is enlarged so that no border shows."""

    NONE = "none"
    FIXED = "fixed"
    DYNAMIC = "dynamic"


class Wishes(TypedDict, total=False):
    """``StreamSettings`` as keyword arguments; a wish left out is the server's choice."""

    mode: Mode | str | None
    output_encoding: Encoding | str | None
    output_quality: int | None
    smoothing_strength: float | None
    look_ahead_frames: int | None
    crop_policy: CropPolicy | str | None
    max_crop_ratio: float | None
    output_bit_rate: int | None
    key_frame_interval: int | None
    pins: Sequence[Pin | str] | None


class Pin(NamedTuple):
    """A part of the picture that stays put, as a display burnt into it. Unit: pixels, from the top left corner."""

    x: int
    y: int
    width: int
    height: int

    @classmethod
    def of(cls, pin: Pin | Sequence[int] | str) -> Pin:
        """``pin`` as it may be written, ``"x,y,width,height"`` too; ValueError for what is none."""
        try:
            numbers = [int(number) for number in (pin.split(",") if isinstance(pin, str) else pin)]
            if min(numbers) >= 0:
                return cls(*numbers)
        except (TypeError, ValueError):
            pass
        raise ValueError(f"pins: {pin!r} is not x,y,width,height in pixels")


def wish(text: str) -> dict[str, str]:
    """The metadata of a setting that the server chooses unless somebody does; ``text`` is its help."""
    return {"help": text, "default": "the server's"}


@dataclass(frozen=True, kw_only=True)
class StreamSettings:
    """The settings of a stream. None leaves the choice, and the check of the range, to the server.

    The enums are also taken by their lower-case names; ValueError for a name that is none of them.
    """

    mode: Mode | None = field(
        default=None, metadata=wish("live: newest first, late frames are dropped; lossless: every frame comes back")
    )
    output_encoding: Encoding | None = field(default=None, metadata=wish("encoding of the frames that come back"))
    output_quality: int | None = field(default=None, metadata=wish("quality of lossy output encodings [1, 100]"))
    smoothing_strength: float | None = field(default=None, metadata=wish("how much of the shake is removed [0, 1]"))
    look_ahead_frames: int | None = field(
        default=None, metadata=wish("future frames that the server may wait for [0, 60]")
    )
    crop_policy: CropPolicy | None = field(
        default=None, metadata=wish("how the picture is enlarged so that no border shows")
    )
    max_crop_ratio: float | None = field(
        default=None, metadata=wish("part of each side that may be cropped away [0, 0.5]")
    )
    output_bit_rate: int | None = field(
        default=None, metadata={"help": "bits per second of H.264 and H.265 that come back", "default": "by quality"}
    )
    key_frame_interval: int | None = field(
        default=None, metadata=wish("frames from one key frame to the next in H.264 and H.265 that come back [1, 600]")
    )
    pins: tuple[Pin, ...] | None = field(
        default=None,
        metadata={
            "help": "X,Y,WIDTH,HEIGHT of a part that stays put, as a display burnt into the picture [pixels]",
            "one": "pin",
            "separator": ";",
        },
    )

    def __post_init__(self) -> None:
        if self.pins is not None:
            object.__setattr__(self, "pins", tuple(Pin.of(pin) for pin in self.pins))
        for name, kind in (("mode", Mode), ("output_encoding", Encoding), ("crop_policy", CropPolicy)):
            value = getattr(self, name)
            if value is not None:
                try:
                    object.__setattr__(self, name, kind(value))
                except ValueError:
                    raise ValueError(f"{name}: {value!r} is none of {', '.join(kind)}") from None


def settings_of(**wishes: Any) -> StreamSettings:
    """``StreamSettings`` of keyword arguments; TypeError for a wish that the contract does not know."""
    return StreamSettings(**wishes)


def settings_to_proto(settings: StreamSettings) -> pb.StreamConfig:
    """``settings`` as the first message of a stream: what is None stays unset on the wire."""
    config = pb.StreamConfig(
        output_quality=settings.output_quality,
        smoothing_strength=settings.smoothing_strength,
        look_ahead_frames=settings.look_ahead_frames,
        max_crop_ratio=settings.max_crop_ratio,
        output_bit_rate=settings.output_bit_rate,
        key_frame_interval=settings.key_frame_interval,
    )
    if settings.pins is not None:
        config.pins.regions.extend(pb.Region(**pin._asdict()) for pin in settings.pins)
        config.pins.SetInParent()
    if settings.mode is not None:
        config.mode = pb.Mode.Value(f"MODE_{settings.mode.name}")  # type: ignore[assignment]
    if settings.output_encoding is not None:
        config.output_encoding = encoding_to_proto(settings.output_encoding)
    if settings.crop_policy is not None:
        config.crop_policy = pb.CropPolicy.Value(f"CROP_POLICY_{settings.crop_policy.name}")  # type: ignore[assignment]
    return config


def settings_from_proto(config: pb.StreamConfig) -> StreamSettings:
    """The settings in force, as ``StreamInfo`` reports them; values of a newer contract come out as None.

    The wire's floats have seven digits: 0.8 comes back as 0.8, not as 0.800000011920929.
    """
    modes = {pb.Mode.Value(f"MODE_{mode.name}"): mode for mode in Mode}
    crops = {pb.CropPolicy.Value(f"CROP_POLICY_{crop.name}"): crop for crop in CropPolicy}
    return StreamSettings(
        mode=modes.get(config.mode),
        output_encoding=encoding_from_proto(config.output_encoding),
        output_quality=config.output_quality if config.HasField("output_quality") else None,
        smoothing_strength=round(config.smoothing_strength, 6) if config.HasField("smoothing_strength") else None,
        look_ahead_frames=config.look_ahead_frames if config.HasField("look_ahead_frames") else None,
        crop_policy=crops.get(config.crop_policy),
        max_crop_ratio=round(config.max_crop_ratio, 6) if config.HasField("max_crop_ratio") else None,
        output_bit_rate=config.output_bit_rate if config.HasField("output_bit_rate") else None,
        key_frame_interval=config.key_frame_interval if config.HasField("key_frame_interval") else None,
        pins=tuple(Pin(r.x, r.y, r.width, r.height) for r in config.pins.regions) if config.HasField("pins") else None,
    )


_TO_WIRE = {encoding: pb.Encoding.Value(f"ENCODING_{encoding.name}") for encoding in Encoding}
_FROM_WIRE: dict[int, Encoding] = {value: encoding for encoding, value in _TO_WIRE.items()}


def encoding_to_proto(encoding: Encoding) -> pb.Encoding:
    """The wire's name of ``encoding``."""
    return _TO_WIRE[encoding]  # type: ignore[return-value]


def encoding_from_proto(value: int) -> Encoding | None:
    """The SDK's name of a wire value; None for unset and for encodings of a newer contract."""
    return _FROM_WIRE.get(value)
