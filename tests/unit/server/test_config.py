from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import sys
import threading
import warnings

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from flowgimbal.engines import picker
from flowgimbal.server import config, limits, logs
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
    ("trace_frames", 1.1),
    ("engine", "abacus"),
    ("flow", "river"),
    ("warp", "drive"),
    ("log_format", "xml"),
    ("log_level", "loud"),
    ("tls_key", "key.pem"),
    ("tls_client_ca", "ca.pem"),
    ("listen", ("0.0.0.0:50051",)),
    ("listen", ("127.0.0.1:50051", "[::]:50051")),
    ("listen", ("camera-server:50051",)),
]


@pytest.mark.parametrize(("name", "value"), BAD, ids=str)
def test_a_bad_setting_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"^{name}: "):
        ServeConfig(**{name: value})


def test_what_others_reach_needs_tls_and_tokens_or_certificates_or_a_word():
    tls = {"tls_certificate": "c.pem", "tls_key": "k.pem"}
    for options in (
        {"listen": ("127.0.0.2:1", "[::1]:1", "localhost:1", "unix:/run/x")},
        {"listen": ("0.0.0.0:1",), "insecure": True},
        {"listen": ("0.0.0.0:1",), **tls, "tokens_file": "t.toml"},
        {"listen": ("0.0.0.0:1",), **tls, "tokens": ("a:b",)},
        {"listen": ("0.0.0.0:1",), **tls, "tls_client_ca": "ca.pem"},
    ):
        ServeConfig(**options)
    with pytest.raises(ValueError, match=r"it needs TLS .* and tokens"):
        ServeConfig(listen=("0.0.0.0:1",))
    with pytest.raises(ValueError, match="it needs tokens"):
        ServeConfig(listen=("0.0.0.0:1",), **tls)
    with pytest.raises(ValueError, match=r"it needs TLS [^;]*\); listen"):
        ServeConfig(listen=("0.0.0.0:1",), tokens_file="t.toml")


def test_secrets_are_not_shown():
    assert "hush" not in repr(ServeConfig(tokens=("camera:hush-hush-hush-hush",)))


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
        resumable=True,
    )
    assert to_proto(resolve(wish, CODECS)) == wish


def test_resolving_twice_changes_nothing():
    once = to_proto(resolve(pb.StreamConfig(), CODECS))
    assert to_proto(resolve(once, CODECS)) == once


async def test_places_are_given_back_after_an_error():
    places = Places(1, "streams")
    with contextlib.suppress(KeyError), places.take():
        assert places.taken == 1
        raise KeyError
    with places.take(), pytest.raises(TooMany), places.take():
        pass
    assert places.taken == 0


async def test_a_call_that_is_not_over_takes_its_place_again(monkeypatch):
    monkeypatch.setattr(limits, "LINGER_SECONDS", 0.05)
    places, told = Places(1, "streams"), asyncio.Event()

    async def call() -> None:
        with places.take():
            pass
        await told.wait()

    calls = [asyncio.create_task(call()) for _ in range(2)]
    await asyncio.sleep(0)
    assert places.taken == 0
    await asyncio.sleep(0.2)
    assert places.taken == 2
    with pytest.raises(TooMany), places.take():
        pass
    told.set()
    await asyncio.gather(*calls)
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


@pytest.fixture
def own_log(monkeypatch):
    """Lets a test set up the process's log; afterwards it is as before."""
    root, logger = logging.getLogger(), logging.getLogger("flowgimbal")
    monkeypatch.setattr(root, "handlers", [])
    before = root.level, logger.level
    with warnings.catch_warnings():
        monkeypatch.setattr(sys, "excepthook", sys.excepthook)
        monkeypatch.setattr(threading, "excepthook", threading.excepthook)
        yield
        logging.captureWarnings(False)
    root.setLevel(before[0])
    logger.setLevel(before[1])


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_the_stream_is_named_on_every_line(own_log, capsys, log_format):
    token = logs.stream_id.set("abcd1234")
    try:
        logs.configure(log_format, logging.INFO)
        logging.getLogger("flowgimbal.server.test").info("ended", extra={"received": 3})
        logging.getLogger("flowgimbal.server.test").debug("unheard")
    finally:
        logs.stream_id.reset(token)
    (line,) = capsys.readouterr().err.splitlines()
    if log_format == "json":
        fields = json.loads(line)
        assert (fields["stream_id"], fields["message"], fields["received"]) == ("abcd1234", "ended", 3)
    else:
        assert "[abcd1234] ended received=3" in line


FORGED = "2026-01-01 00:00:00,000 INFO    [-] stopped"
NASTY = f"x\n{FORGED}\r{FORGED}\x1b[2J\u2028{FORGED}\u202e\x85{FORGED}"


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_what_clients_send_cannot_forge_a_line(own_log, capsys, log_format):
    logs.configure(log_format, logging.INFO)
    logger = logging.getLogger("flowgimbal.server.test")
    logger.info("frame %s", NASTY, extra={"why": NASTY})
    try:
        raise ValueError(NASTY)
    except ValueError:
        logger.exception("it failed")
    logs.last_words(log_format, f"flowgimbal: {NASTY}")
    lines = capsys.readouterr().err.split("\n")
    assert lines.pop() == ""
    if log_format == "json":
        first, second, third = map(json.loads, lines)
        assert first["why"] == NASTY
        assert second["exception"].endswith(f"ValueError: {NASTY}")
        assert third["message"] == f"flowgimbal: {NASTY}"
    else:
        assert not any(line.startswith(FORGED) for line in lines)
        assert all(line.isprintable() for line in lines)
        assert sum(FORGED in line for line in lines) > 3


def test_uncaught_exceptions_warnings_and_libraries_write_json_too(own_log, capsys):
    logs.configure("json", logging.INFO)
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    sys.excepthook(ValueError, ValueError("two\nlines"), None)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)  # in the manner of this block
        warnings.warn("beware", UserWarning, stacklevel=1)
    logging.getLogger("asyncio").error("a task was lost")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["logger"] for line in lines] == [logs.__name__, logs.__name__, "py.warnings", "asyncio"]
    assert "ZeroDivisionError" in lines[0]["exception"]
