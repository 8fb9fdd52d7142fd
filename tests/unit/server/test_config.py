from __future__ import annotations

import contextlib
import dataclasses
import json
import logging

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from flowgimbal.engines import picker
from flowgimbal.server import config, logs
from flowgimbal.server.codecs.codec import EncoderSettings
from flowgimbal.server.codecs.table import CODECS
from flowgimbal.server.config import ServeConfig
from flowgimbal.server.crop import Crop
from flowgimbal.server.errors import InvalidArgument, TooMany, to_status
from flowgimbal.server.limits import Places
from flowgimbal.server.stream_config import resolve, to_proto
from flowgimbal.v1 import stabilizer_pb2 as pb

BAD = [
    ("listen", ()),
    ("listen", ("nowhere",)),
    ("listen", ("host:port",)),
    ("listen", ("host:65536",)),
    ("listen", ("unix:",)),
    ("processes", 0),
    ("max_streams", 0),
    ("max_frame_pixels", 0),
    ("max_message_bytes", 1 << 31),
    ("idle_timeout_seconds", 0.0),
    ("idle_timeout_seconds", float("nan")),
    ("drain_grace_seconds", -1.0),
    ("metrics_listen", "9464"),
    ("engine", "abacus"),
    ("flow", "river"),
    ("warp", "drive"),
    ("log_format", "xml"),
    ("log_level", "loud"),
]


@pytest.mark.parametrize(("name", "value"), BAD, ids=str)
def test_a_bad_setting_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"^{name}: "):
        ServeConfig(**{name: value})


def test_processes_do_not_share_a_unix_socket():
    with pytest.raises(ValueError, match="processes: a unix socket"):
        ServeConfig(processes=2, listen=("127.0.0.1:0", "unix:/tmp/socket"))


def test_every_setting_has_a_help_text_and_a_plain_default():
    for field in dataclasses.fields(ServeConfig):
        assert field.metadata["help"]
        assert isinstance(field.default, str | int | float | tuple)


def test_the_choices_are_the_pickers():
    assert (config.ENGINES, config.FLOWS, config.WARPS) == (picker.ENGINES, picker.FLOWS, picker.WARPS)


def test_defaults_of_a_stream():
    live = resolve(pb.StreamConfig(), CODECS)
    assert (live.lossless, live.latency_frames, live.stabilizer.crop) == (False, 0, Crop.FIXED)
    lossless = resolve(pb.StreamConfig(mode=pb.MODE_LOSSLESS), CODECS)
    assert (lossless.lossless, lossless.latency_frames) == (True, 15)
    assert lossless.encoder == EncoderSettings(quality=90, bit_rate=0, key_frame_interval=60)
    assert (lossless.stabilizer.strength, lossless.stabilizer.max_crop_ratio) == (0.8, 0.1)


def test_what_is_set_stays_and_zero_is_not_unset():
    wish = pb.StreamConfig(
        mode=pb.MODE_LOSSLESS,
        output_encoding=pb.ENCODING_NV12,
        output_quality=1,
        smoothing_strength=0,
        look_ahead_frames=0,
        crop_policy=pb.CROP_POLICY_DYNAMIC,
        max_crop_ratio=0,
        output_bit_rate=10_000,
        key_frame_interval=1,
        pins=pb.Pins(regions=[pb.Region(x=0, y=0, width=1, height=1)]),
    )
    assert to_proto(resolve(wish, CODECS)) == wish


def test_resolving_twice_changes_nothing():
    once = to_proto(resolve(pb.StreamConfig(), CODECS))
    assert to_proto(resolve(once, CODECS)) == once


def test_places_are_given_back_after_an_error():
    places = Places(1, "streams")
    with contextlib.suppress(KeyError), places.take():
        assert places.taken == 1
        raise KeyError
    with places.take(), pytest.raises(TooMany), places.take():
        pass
    assert places.taken == 0


def test_a_status_carries_reason_metadata_and_retry():
    error = TooMany("TOO_MANY_STREAMS", "later", retry_after_seconds=1.5, max_streams=3)
    status = to_status(error)
    assert (status.code, status.details) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "later")
    rich = status_pb2.Status.FromString(dict(status.trailing_metadata)["grpc-status-details-bin"])
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    assert rich.details[0].Unpack(info)
    assert rich.details[1].Unpack(retry)
    assert (info.domain, info.reason, dict(info.metadata)) == ("flowgimbal", "TOO_MANY_STREAMS", {"max_streams": "3"})
    assert retry.retry_delay.ToTimedelta().total_seconds() == 1.5


def test_a_reason_is_required_to_be_a_client_error_where_it_is_one():
    with pytest.raises(InvalidArgument, match="smoothing_strength"):
        resolve(pb.StreamConfig(smoothing_strength=float("nan")), CODECS)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_the_stream_is_named_on_every_line(capsys, log_format):
    logger = logging.getLogger("flowgimbal")
    before = (logger.handlers[:], logger.level, logger.propagate)
    token = logs.stream_id.set("abcd1234")
    try:
        logs.configure(log_format, logging.INFO)
        logging.getLogger("flowgimbal.server.test").info("ended", extra={"received": 3})
        logging.getLogger("flowgimbal.server.test").debug("unheard")
    finally:
        logs.stream_id.reset(token)
        logger.handlers[:], logger.level, logger.propagate = before
    (line,) = capsys.readouterr().err.splitlines()
    if log_format == "json":
        fields = json.loads(line)
        assert (fields["stream_id"], fields["message"], fields["received"]) == ("abcd1234", "ended", 3)
    else:
        assert "[abcd1234] ended received=3" in line
