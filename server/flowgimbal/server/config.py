"""The server's settings: the only place where a default of ``flowgimbal serve`` stands."""

from __future__ import annotations

import ipaddress
import logging
import math
from dataclasses import dataclass, field
from typing import Any

ENGINES = ("auto", "tensorrt", "tensorrt_rtx", "cuda", "cpu", "identity")
FLOWS = ("network", "dis")
WARPS = ("dense", "homography", "transformer")
DECODERS = ("auto", "process", "thread")
LOG_FORMATS = ("text", "json")
LOG_LEVELS = ("debug", "info", "warning", "error")


def _setting(default: Any, text: str, **metadata: Any) -> Any:
    return field(default=default, repr=not metadata.get("secret"), metadata={"help": text, **metadata})


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """How a server runs. Each field is a flag, an environment variable and a TOML key of the same name.

    Secrets are no flags: the command line of a process is no secret. Raises ValueError, naming the field, for a value
    out of range.
    """

    listen: tuple[str, ...] = _setting(("127.0.0.1:50051",), "addresses to serve on: HOST:PORT or unix:PATH")
    processes: int = _setting(1, "server processes behind the same ports, to use many cores; each has its own limits")
    max_streams: int = _setting(16, "streams that may run at a time")
    max_observers: int = _setting(16, "observers that may watch streams at a time; 0: none")
    max_connections: int = _setting(16_384, "connections at a time to each address; more are hung up on")
    max_frame_pixels: int = _setting(4096 * 2304, "largest picture, width x height [pixels]")
    max_message_bytes: int = _setting(64 << 20, "largest message, either way [bytes]")
    idle_timeout_seconds: float = _setting(30.0, "a stream without input for this long is ended [s]")
    drain_grace_seconds: float = _setting(10.0, "time for running streams to flush when the server stops [s]")
    metrics_listen: str = _setting("", "HOST:PORT of the Prometheus page; empty: none")
    traces: bool = _setting(False, "send traces to an OpenTelemetry collector; variables OTEL_* say where and how")
    trace_frames: float = _setting(0.01, "share of the frames that have a span of their own in traces, 0 to 1")
    engine: str = _setting("auto", "who runs the networks", choices=ENGINES)
    flow: str = _setting("network", "who measures the motion", choices=FLOWS)
    warp: str = _setting("dense", "which network of the family decides the warp", choices=WARPS)
    decoders: str = _setting(
        "auto",
        "where pictures are decoded; auto: in processes of their own if others come in",
        choices=DECODERS,
    )
    tls_certificate: str = _setting("", "PEM file of the certificate and its chain; empty: no TLS")
    tls_key: str = _setting("", "PEM file of the certificate's key")
    tls_client_ca: str = _setting("", "PEM file of the authorities whose clients may come (mutual TLS); empty: any")
    tokens_file: str = _setting("", "TOML file of the tokens that clients must show; empty: none needed")
    tokens: tuple[str, ...] = _setting((), "tokens that clients must show, as NAME:TOKEN", secret=True)
    insecure: bool = _setting(False, "listen on addresses that others reach without TLS, or without tokens")
    log_format: str = _setting("text", "how log lines look", choices=LOG_FORMATS)
    log_level: str = _setting("info", "the least that is logged", choices=LOG_LEVELS)

    def __post_init__(self) -> None:
        if not self.listen:
            raise ValueError("listen: at least one address is needed")
        for address in self.listen:
            check_address("listen", address)
        _check_range("processes", self.processes, 1, 1024)
        if self.processes > 1 and any(address.startswith("unix:") for address in self.listen):
            raise ValueError("processes: a unix socket cannot be shared by several; listen on HOST:PORT, or use one")
        _check_range("max_streams", self.max_streams, 1, 10_000)
        _check_range("max_observers", self.max_observers, 0, 10_000)
        _check_range("max_connections", self.max_connections, 1, 1_000_000)
        _check_range("max_frame_pixels", self.max_frame_pixels, 1, 1 << 30)
        _check_range("max_message_bytes", self.max_message_bytes, 1 << 10, (1 << 31) - 1)
        _check_range("idle_timeout_seconds", self.idle_timeout_seconds, 0.01, 86_400)
        _check_range("drain_grace_seconds", self.drain_grace_seconds, 0, 86_400)
        _check_range("trace_frames", self.trace_frames, 0, 1)
        self._check_access()
        if self.metrics_listen:
            host_and_port("metrics_listen", self.metrics_listen)
        _check_choice("engine", self.engine, ENGINES)
        _check_choice("flow", self.flow, FLOWS)
        _check_choice("warp", self.warp, WARPS)
        _check_choice("decoders", self.decoders, DECODERS)
        _check_choice("log_format", self.log_format, LOG_FORMATS)
        _check_choice("log_level", self.log_level, LOG_LEVELS)

    def _check_access(self) -> None:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_key: a certificate and its key go together; give both or neither")
        if self.tls_client_ca and not self.tls_certificate:
            raise ValueError("tls_client_ca: needs TLS; give tls_certificate and tls_key, too")
        missing = [] if self.tls_certificate else ["TLS (tls_certificate, tls_key)"]
        if not self.tls_client_ca and not self.tokens_file and not self.tokens:
            missing.append("tokens (tokens_file) or client certificates (tls_client_ca)")
        for address in self.listen:
            if missing and not self.insecure and not is_local(address):
                wanted = " and ".join(missing)
                raise ValueError(
                    f"listen: others reach {address}: it needs {wanted}; listen on 127.0.0.1, or say insecure"
                )

    @property
    def decodes_apart(self) -> bool:
        """Whether decoders get processes of their own."""
        return self.decoders == "process" or (self.decoders == "auto" and not all(map(is_local, self.listen)))

    @property
    def log_level_number(self) -> int:
        """``log_level`` as the logging module counts."""
        return logging.getLevelNamesMapping()[self.log_level.upper()]


def check_address(name: str, address: str) -> None:
    """Raise ValueError, naming the field, unless ``address`` is HOST:PORT or unix:PATH."""
    if address.startswith("unix:"):
        if len(address) == len("unix:"):
            raise ValueError(f"{name}: {address!r} has no path; write unix:PATH")
        return
    host_and_port(name, address)


def is_local(address: str) -> bool:
    """Whether only this machine's programs reach ``address``: a unix socket or a loopback address."""
    if address.startswith("unix:"):
        return True
    host = host_and_port("listen", address)[0]
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def host_and_port(name: str, address: str) -> tuple[str, int]:
    """The two halves of HOST:PORT ([HOST]:PORT for IPv6); ValueError, naming the field, if it is not that."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ValueError(f"{name}: {address!r} is not HOST:PORT with a port of 0 to 65535")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _check_range(name: str, value: float, low: float, high: float) -> None:
    if not math.isfinite(value) or not low <= value <= high:
        raise ValueError(f"{name}: {value} is not within [{low}, {high}]")


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{name}: {value!r} is none of {', '.join(choices)}")
