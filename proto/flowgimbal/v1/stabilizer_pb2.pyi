from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODE_UNSPECIFIED: _ClassVar[Mode]
    MODE_LIVE: _ClassVar[Mode]
    MODE_LOSSLESS: _ClassVar[Mode]

class Encoding(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ENCODING_UNSPECIFIED: _ClassVar[Encoding]
    ENCODING_BGR8: _ClassVar[Encoding]
    ENCODING_RGB8: _ClassVar[Encoding]
    ENCODING_NV12: _ClassVar[Encoding]
    ENCODING_I420: _ClassVar[Encoding]
    ENCODING_GRAY8: _ClassVar[Encoding]
    ENCODING_JPEG: _ClassVar[Encoding]
    ENCODING_H264: _ClassVar[Encoding]
    ENCODING_HEVC: _ClassVar[Encoding]

class CropPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CROP_POLICY_UNSPECIFIED: _ClassVar[CropPolicy]
    CROP_POLICY_NONE: _ClassVar[CropPolicy]
    CROP_POLICY_FIXED: _ClassVar[CropPolicy]
    CROP_POLICY_DYNAMIC: _ClassVar[CropPolicy]
MODE_UNSPECIFIED: Mode
MODE_LIVE: Mode
MODE_LOSSLESS: Mode
ENCODING_UNSPECIFIED: Encoding
ENCODING_BGR8: Encoding
ENCODING_RGB8: Encoding
ENCODING_NV12: Encoding
ENCODING_I420: Encoding
ENCODING_GRAY8: Encoding
ENCODING_JPEG: Encoding
ENCODING_H264: Encoding
ENCODING_HEVC: Encoding
CROP_POLICY_UNSPECIFIED: CropPolicy
CROP_POLICY_NONE: CropPolicy
CROP_POLICY_FIXED: CropPolicy
CROP_POLICY_DYNAMIC: CropPolicy

class StreamRequest(_message.Message):
    __slots__ = ("config", "frame", "tuning")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    TUNING_FIELD_NUMBER: _ClassVar[int]
    config: StreamConfig
    frame: Frame
    tuning: Tuning
    def __init__(self, config: _Optional[_Union[StreamConfig, _Mapping]] = ..., frame: _Optional[_Union[Frame, _Mapping]] = ..., tuning: _Optional[_Union[Tuning, _Mapping]] = ...) -> None: ...

class Tuning(_message.Message):
    __slots__ = ("config", "key_frame")
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    KEY_FRAME_FIELD_NUMBER: _ClassVar[int]
    config: StreamConfig
    key_frame: bool
    def __init__(self, config: _Optional[_Union[StreamConfig, _Mapping]] = ..., key_frame: bool = ...) -> None: ...

class StreamResponse(_message.Message):
    __slots__ = ("info", "frame", "draining")
    INFO_FIELD_NUMBER: _ClassVar[int]
    FRAME_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    info: StreamInfo
    frame: StabilizedFrame
    draining: Draining
    def __init__(self, info: _Optional[_Union[StreamInfo, _Mapping]] = ..., frame: _Optional[_Union[StabilizedFrame, _Mapping]] = ..., draining: _Optional[_Union[Draining, _Mapping]] = ...) -> None: ...

class Draining(_message.Message):
    __slots__ = ("seconds",)
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    seconds: float
    def __init__(self, seconds: _Optional[float] = ...) -> None: ...

class StreamConfig(_message.Message):
    __slots__ = ("mode", "output_encoding", "output_quality", "smoothing_strength", "look_ahead_frames", "crop_policy", "max_crop_ratio", "output_bit_rate", "key_frame_interval", "pins", "resumable", "resume")
    MODE_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_ENCODING_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_QUALITY_FIELD_NUMBER: _ClassVar[int]
    SMOOTHING_STRENGTH_FIELD_NUMBER: _ClassVar[int]
    LOOK_AHEAD_FRAMES_FIELD_NUMBER: _ClassVar[int]
    CROP_POLICY_FIELD_NUMBER: _ClassVar[int]
    MAX_CROP_RATIO_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_BIT_RATE_FIELD_NUMBER: _ClassVar[int]
    KEY_FRAME_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    PINS_FIELD_NUMBER: _ClassVar[int]
    RESUMABLE_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    mode: Mode
    output_encoding: Encoding
    output_quality: int
    smoothing_strength: float
    look_ahead_frames: int
    crop_policy: CropPolicy
    max_crop_ratio: float
    output_bit_rate: int
    key_frame_interval: int
    pins: Pins
    resumable: bool
    resume: Resume
    def __init__(self, mode: _Optional[_Union[Mode, str]] = ..., output_encoding: _Optional[_Union[Encoding, str]] = ..., output_quality: _Optional[int] = ..., smoothing_strength: _Optional[float] = ..., look_ahead_frames: _Optional[int] = ..., crop_policy: _Optional[_Union[CropPolicy, str]] = ..., max_crop_ratio: _Optional[float] = ..., output_bit_rate: _Optional[int] = ..., key_frame_interval: _Optional[int] = ..., pins: _Optional[_Union[Pins, _Mapping]] = ..., resumable: bool = ..., resume: _Optional[_Union[Resume, _Mapping]] = ...) -> None: ...

class Resume(_message.Message):
    __slots__ = ("after_frame_id", "path")
    AFTER_FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    after_frame_id: int
    path: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, after_frame_id: _Optional[int] = ..., path: _Optional[_Iterable[bytes]] = ...) -> None: ...

class Pins(_message.Message):
    __slots__ = ("regions",)
    REGIONS_FIELD_NUMBER: _ClassVar[int]
    regions: _containers.RepeatedCompositeFieldContainer[Region]
    def __init__(self, regions: _Optional[_Iterable[_Union[Region, _Mapping]]] = ...) -> None: ...

class Region(_message.Message):
    __slots__ = ("x", "y", "width", "height")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    x: int
    y: int
    width: int
    height: int
    def __init__(self, x: _Optional[int] = ..., y: _Optional[int] = ..., width: _Optional[int] = ..., height: _Optional[int] = ...) -> None: ...

class StreamInfo(_message.Message):
    __slots__ = ("stream_id", "config", "latency_frames", "engine")
    STREAM_ID_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FRAMES_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    stream_id: str
    config: StreamConfig
    latency_frames: int
    engine: str
    def __init__(self, stream_id: _Optional[str] = ..., config: _Optional[_Union[StreamConfig, _Mapping]] = ..., latency_frames: _Optional[int] = ..., engine: _Optional[str] = ...) -> None: ...

class Frame(_message.Message):
    __slots__ = ("frame_id", "capture_time_ns", "encoding", "width", "height", "stride", "data")
    FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    CAPTURE_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    STRIDE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    frame_id: int
    capture_time_ns: int
    encoding: Encoding
    width: int
    height: int
    stride: int
    data: bytes
    def __init__(self, frame_id: _Optional[int] = ..., capture_time_ns: _Optional[int] = ..., encoding: _Optional[_Union[Encoding, str]] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., stride: _Optional[int] = ..., data: _Optional[bytes] = ...) -> None: ...

class StabilizedFrame(_message.Message):
    __slots__ = ("frame", "transform", "stats", "path")
    FRAME_FIELD_NUMBER: _ClassVar[int]
    TRANSFORM_FIELD_NUMBER: _ClassVar[int]
    STATS_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    frame: Frame
    transform: _containers.RepeatedScalarFieldContainer[float]
    stats: FrameStats
    path: bytes
    def __init__(self, frame: _Optional[_Union[Frame, _Mapping]] = ..., transform: _Optional[_Iterable[float]] = ..., stats: _Optional[_Union[FrameStats, _Mapping]] = ..., path: _Optional[bytes] = ...) -> None: ...

class FrameStats(_message.Message):
    __slots__ = ("total_ns", "queue_ns", "decode_ns", "flow_ns", "warp_ns", "encode_ns", "frames_received", "frames_dropped")
    TOTAL_NS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_NS_FIELD_NUMBER: _ClassVar[int]
    DECODE_NS_FIELD_NUMBER: _ClassVar[int]
    FLOW_NS_FIELD_NUMBER: _ClassVar[int]
    WARP_NS_FIELD_NUMBER: _ClassVar[int]
    ENCODE_NS_FIELD_NUMBER: _ClassVar[int]
    FRAMES_RECEIVED_FIELD_NUMBER: _ClassVar[int]
    FRAMES_DROPPED_FIELD_NUMBER: _ClassVar[int]
    total_ns: int
    queue_ns: int
    decode_ns: int
    flow_ns: int
    warp_ns: int
    encode_ns: int
    frames_received: int
    frames_dropped: int
    def __init__(self, total_ns: _Optional[int] = ..., queue_ns: _Optional[int] = ..., decode_ns: _Optional[int] = ..., flow_ns: _Optional[int] = ..., warp_ns: _Optional[int] = ..., encode_ns: _Optional[int] = ..., frames_received: _Optional[int] = ..., frames_dropped: _Optional[int] = ...) -> None: ...

class GetServerInfoRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetServerInfoResponse(_message.Message):
    __slots__ = ("version", "engine", "input_encodings", "output_encodings", "max_streams", "active_streams", "max_frame_pixels", "max_message_bytes", "idle_timeout_seconds")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    INPUT_ENCODINGS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_ENCODINGS_FIELD_NUMBER: _ClassVar[int]
    MAX_STREAMS_FIELD_NUMBER: _ClassVar[int]
    ACTIVE_STREAMS_FIELD_NUMBER: _ClassVar[int]
    MAX_FRAME_PIXELS_FIELD_NUMBER: _ClassVar[int]
    MAX_MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    IDLE_TIMEOUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    version: str
    engine: str
    input_encodings: _containers.RepeatedScalarFieldContainer[Encoding]
    output_encodings: _containers.RepeatedScalarFieldContainer[Encoding]
    max_streams: int
    active_streams: int
    max_frame_pixels: int
    max_message_bytes: int
    idle_timeout_seconds: float
    def __init__(self, version: _Optional[str] = ..., engine: _Optional[str] = ..., input_encodings: _Optional[_Iterable[_Union[Encoding, str]]] = ..., output_encodings: _Optional[_Iterable[_Union[Encoding, str]]] = ..., max_streams: _Optional[int] = ..., active_streams: _Optional[int] = ..., max_frame_pixels: _Optional[int] = ..., max_message_bytes: _Optional[int] = ..., idle_timeout_seconds: _Optional[float] = ...) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ("stream_id", "max_width", "max_rate")
    STREAM_ID_FIELD_NUMBER: _ClassVar[int]
    MAX_WIDTH_FIELD_NUMBER: _ClassVar[int]
    MAX_RATE_FIELD_NUMBER: _ClassVar[int]
    stream_id: str
    max_width: int
    max_rate: float
    def __init__(self, stream_id: _Optional[str] = ..., max_width: _Optional[int] = ..., max_rate: _Optional[float] = ...) -> None: ...

class WatchResponse(_message.Message):
    __slots__ = ("raw", "steady", "width", "height", "transform", "motion", "frame_id", "capture_time_ns", "stats", "info", "encoding")
    RAW_FIELD_NUMBER: _ClassVar[int]
    STEADY_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    TRANSFORM_FIELD_NUMBER: _ClassVar[int]
    MOTION_FIELD_NUMBER: _ClassVar[int]
    FRAME_ID_FIELD_NUMBER: _ClassVar[int]
    CAPTURE_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    STATS_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    raw: bytes
    steady: bytes
    width: int
    height: int
    transform: _containers.RepeatedScalarFieldContainer[float]
    motion: _containers.RepeatedScalarFieldContainer[float]
    frame_id: int
    capture_time_ns: int
    stats: FrameStats
    info: StreamInfo
    encoding: Encoding
    def __init__(self, raw: _Optional[bytes] = ..., steady: _Optional[bytes] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., transform: _Optional[_Iterable[float]] = ..., motion: _Optional[_Iterable[float]] = ..., frame_id: _Optional[int] = ..., capture_time_ns: _Optional[int] = ..., stats: _Optional[_Union[FrameStats, _Mapping]] = ..., info: _Optional[_Union[StreamInfo, _Mapping]] = ..., encoding: _Optional[_Union[Encoding, str]] = ...) -> None: ...

class TuneRequest(_message.Message):
    __slots__ = ("stream_id", "tuning")
    STREAM_ID_FIELD_NUMBER: _ClassVar[int]
    TUNING_FIELD_NUMBER: _ClassVar[int]
    stream_id: str
    tuning: Tuning
    def __init__(self, stream_id: _Optional[str] = ..., tuning: _Optional[_Union[Tuning, _Mapping]] = ...) -> None: ...

class TuneResponse(_message.Message):
    __slots__ = ("info",)
    INFO_FIELD_NUMBER: _ClassVar[int]
    info: StreamInfo
    def __init__(self, info: _Optional[_Union[StreamInfo, _Mapping]] = ...) -> None: ...
