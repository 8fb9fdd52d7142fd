"""Flag over environment over file over default, and what a bad configuration is told."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from flowgimbal.client.cli.layers import configure
from flowgimbal.client.cli.main import COMMANDS, main
from flowgimbal.client.cli.options import UsageError
from flowgimbal.client.settings import Mode
from flowgimbal.server.config import ServeConfig


@dataclass(frozen=True, kw_only=True)
class Config:
    count: int = field(default=1, metadata={"help": "how many"})
    ratio: float = field(default=0.5, metadata={"help": "how much, in %"})
    name: str = field(default="x", metadata={"help": "which"})
    loud: bool = field(default=False, metadata={"help": "how"})
    mode: Mode | None = field(default=None, metadata={"help": "as", "default": "the server's"})
    places: tuple[str, ...] = field(default=("here",), metadata={"help": "where"})
    taste: str = field(default="sweet", metadata={"help": "what", "choices": ("sweet", "sour")})

    def __post_init__(self) -> None:
        if self.count > 100:
            raise ValueError("count: above 100")


def resolve(arguments=(), environ=None, file=None, tmp_path=None) -> Config:
    environ = dict(environ or {})
    if file is not None:
        path = tmp_path / "flowgimbal.toml"
        path.write_text(file)
        environ["FLOWGIMBAL_CONFIG"] = str(path)
    return configure(Config, "play", "Plays.", list(arguments), environ, {"max_streams"}, {"play", "serve"})


def test_defaults_stand_in_the_dataclass_alone():
    assert resolve() == Config()


def test_each_layer_outweighs_the_one_below(tmp_path):
    file = "count = 2\nratio = 2\nname = 'two'\nmax_streams = 7\n[play]\nname = 'two and a half'\n[serve]\nlisten = []"
    assert resolve(file=file, tmp_path=tmp_path) == Config(count=2, ratio=2.0, name="two and a half")
    environ = {"FLOWGIMBAL_COUNT": "3", "FLOWGIMBAL_RATIO": "3.5", "FLOWGIMBAL_MAX_STREAMS": "9", "HOME": "/"}
    assert resolve(environ=environ, file=file, tmp_path=tmp_path).count == 3
    resolved = resolve(["--count", "4"], environ, file, tmp_path)
    assert (resolved.count, resolved.ratio, resolved.name) == (4, 3.5, "two and a half")


def test_every_type_in_every_layer(tmp_path):
    wanted = Config(count=5, ratio=0.25, name="n", loud=True, mode=Mode.LIVE, places=("a", "b"), taste="sour")
    flags = ["--count", "5", "--ratio", ".25", "--name", "n", "--loud", "--mode", "live"]
    flags += ["--places", "a", "--places", "b", "--taste", "sour"]
    assert resolve(flags) == wanted
    names = {
        "COUNT": "5",
        "RATIO": "0.25",
        "NAME": "n",
        "LOUD": "yes",
        "MODE": "live",
        "PLACES": "a, b",
        "TASTE": "sour",
    }
    assert resolve(environ={f"FLOWGIMBAL_{name}": value for name, value in names.items()}) == wanted
    file = "count=5\nratio=0.25\nname='n'\nloud=true\nmode='live'\nplaces=['a','b']\ntaste='sour'"
    assert resolve(file=file, tmp_path=tmp_path) == wanted
    assert resolve(["--no-loud"], {"FLOWGIMBAL_LOUD": "1"}).loud is False


BAD_FLAGS = [
    (["--count", "many"], "--count: 'many' is not a whole number"),
    (["--count", "1.5"], "--count: '1.5' is not a whole number"),
    (["--ratio", "half"], "--ratio: 'half' is not a number"),
    (["--mode", "slow"], "--mode: 'slow' is none of live, lossless"),
    (["--taste", "salt"], "--taste: 'salt' is none of sweet, sour"),
    (["--count", "101"], "count: above 100"),
]
BAD_VARIABLES = [
    ({"FLOWGIMBAL_COUNT": ""}, "FLOWGIMBAL_COUNT: '' is not a whole number"),
    ({"FLOWGIMBAL_LOUD": "aye"}, "FLOWGIMBAL_LOUD: 'aye' is neither true nor false"),
    ({"FLOWGIMBAL_COUNTS": "3"}, "FLOWGIMBAL_COUNTS: unknown option"),
]
BAD_FILES = [
    ("count = 'five'", "count in"),
    ("count = true", "count in"),
    ("count = 1.5", "count in"),
    ("loud = 1", "loud in"),
    ("name = 3", "name in"),
    ("places = 'here'", "places in"),
    ("places = [1]", "places in"),
    ("mode = 'slow'", "mode in"),
    ("taste = 'salt'", "taste in"),
    ("counts = 3", "counts: unknown key"),
    ("[play]\ncounts = 3", "play.counts: unknown key"),
    ("[play]\nmax_streams = 3", "play.max_streams: unknown key"),
    ("[paly]\ncount = 3", "paly: unknown key"),
    ("count = ", "--config"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD_FLAGS)
def test_bad_flags(arguments, message):
    with pytest.raises(UsageError) as caught:
        resolve(arguments)
    assert str(caught.value) == message


@pytest.mark.parametrize(("environ", "message"), BAD_VARIABLES)
def test_bad_variables(environ, message):
    with pytest.raises(UsageError) as caught:
        resolve(environ=environ)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(("file", "message"), BAD_FILES)
def test_bad_files(file, message, tmp_path):
    with pytest.raises(UsageError) as caught:
        resolve(file=file, tmp_path=tmp_path)
    assert str(caught.value).startswith(message)
    assert "flowgimbal.toml" in str(caught.value)


def test_a_file_that_is_not_there():
    with pytest.raises(UsageError, match=r"--config /nowhere\.toml"):
        resolve(environ={"FLOWGIMBAL_CONFIG": "/nowhere.toml"})


def test_what_kubernetes_puts_into_every_container_is_not_ours():
    links = ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_GRPC", "PORT", "PORT_50051_TCP", "PORT_50051_TCP_ADDR"]
    noise = {f"FLOWGIMBAL_{link}": "tcp://10.0.0.1:50051" for link in links}
    noise |= {f"FLOWGIMBAL_METRICS_{link}": "tcp://10.0.0.1:9090" for link in links}
    assert resolve(environ=noise) == Config()


def test_an_unknown_flag_names_itself(capsys):
    with pytest.raises(SystemExit) as caught:
        resolve(["--cuont", "3"])
    assert caught.value.code == 2
    assert "--cuont" in capsys.readouterr().err


def test_the_servers_dataclass_is_its_command_line():
    arguments = ["--listen", "127.0.0.1:1", "--listen", "unix:/tmp/s", "--max-streams", "2", "--log-format", "json"]
    resolved = configure(ServeConfig, "serve", "", arguments, {"FLOWGIMBAL_DRAIN_GRACE_SECONDS": "1"}, (), ("serve",))
    assert resolved == ServeConfig(
        listen=("127.0.0.1:1", "unix:/tmp/s"), max_streams=2, log_format="json", drain_grace_seconds=1.0
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command, capsys, monkeypatch):
    try:
        code = main([command, "--help"])
    except SystemExit as end:
        code = end.code
    assert code == 0
    assert f"usage: flowgimbal {command}" in capsys.readouterr().out


def test_version_and_no_command(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("flowgimbal ")
    for arguments in ([], ["lives"], ["stabilise", "a", "b"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2


def test_usage_errors_are_one_line_and_two(capsys, monkeypatch):
    monkeypatch.setenv("FLOWGIMBAL_TIMEOUT", "soon")
    assert main(["health"]) == 2
    assert capsys.readouterr().err == "flowgimbal health: FLOWGIMBAL_TIMEOUT: 'soon' is not a number\n"
    assert main(["train", "everything"]) == 2
    assert main(["engines"]) == 2
