"""Who gets in: certificates and tokens, right and wrong, changed while streams run; by the SDK, over a socket."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
from itertools import product
from pathlib import Path

import grpc
import pytest
import trustme

from flowgimbal.client import Client, Endpoint, FlowgimbalError, Frame, Overloaded, Tls, Unauthorized, Unavailable
from flowgimbal.v1 import stabilizer_pb2 as pb

TOKEN, OTHER, WRONG = "a-token-of-camera-7", "another-tokens-letters", "no-token-of-anybody"
TOKENS = f'[camera-7]\ntoken = "{TOKEN}"\n[tower]\nsha256 = "{hashlib.sha256(OTHER.encode()).hexdigest()}"\n'


class Papers:
    """The files of an authority, of a server and a client that it knows, and of strangers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority, strange = trustme.CA(), trustme.CA()
        self.ca, self.strange_ca = str(folder / "ca.pem"), str(folder / "strange-ca.pem")
        self.authority.cert_pem.write_to_path(self.ca)
        strange.cert_pem.write_to_path(self.strange_ca)
        self.server = self.issue("server", "localhost", "127.0.0.1")
        self.camera = self.issue("camera", "camera-7")
        self.stranger = self.write("stranger", strange.issue_cert("camera-7"))
        self.tokens = folder / "tokens.toml"
        self.tokens.write_text(TOKENS)

    def issue(self, name: str, *names: str) -> tuple[str, str]:
        return self.write(name, self.authority.issue_cert(*names))

    def write(self, name: str, leaf: trustme.LeafCert) -> tuple[str, str]:
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}-key.pem"
        leaf.private_key_pem.write_to_path(str(key))
        leaf.cert_chain_pems[0].write_to_path(str(certificate))
        return str(certificate), str(key)

    def flags(self, *, tls: bool = False, mutual: bool = False, tokens: bool = False) -> list[str]:
        flags = ["--tls-certificate", self.server[0], "--tls-key", self.server[1]] if tls or mutual else []
        flags += ["--tls-client-ca", self.ca] if mutual else []
        return flags + (["--tokens-file", str(self.tokens)] if tokens else [])

    def tls(self, who: tuple[str, str] = ("", ""), **others: str) -> Tls:
        return Tls(**{"ca": self.ca, "certificate": who[0], "key": who[1], **others})


@pytest.fixture(scope="module")
def papers(tmp_path_factory) -> Papers:
    return Papers(tmp_path_factory.mktemp("papers"))


async def outcome(address: str, **options: object) -> object:
    """What a client is told: its name for success, else the error's class and reason."""
    try:
        async with Client(address, timeout=20, **options) as client, client.stream(mode="lossless") as stream:
            async for _ in stream.stabilize([jpeg_frame(0)]):
                return "in"
    except FlowgimbalError as error:
        return type(error), error.status, error.reason
    return "nothing came back"


def jpeg_frame(number: int) -> Frame:
    import cv2
    import numpy as np

    image = np.random.default_rng(1).integers(0, 255, (96, 160, 3), np.uint8)
    return Frame(cv2.imencode(".jpg", image)[1].tobytes(), "jpeg", frame_id=number, capture_time_ns=number * 33_000_000)


CONNECTIONS = ("plain", "stranger's authority", "another name", "tls", "stranger's certificate", "certificate")
SERVERS = [{**tls, **tokens} for tls in ({}, {"tls": True}, {"mutual": True}) for tokens in ({}, {"tokens": True})]


def options_of(papers: Papers, kind: str) -> dict[str, Tls]:
    return {
        "plain": {},
        "stranger's authority": {"tls": Tls(ca=papers.strange_ca)},
        "another name": {"tls": papers.tls(name="elsewhere.example")},
        "tls": {"tls": papers.tls()},
        "stranger's certificate": {"tls": papers.tls(papers.stranger)},
        "certificate": {"tls": papers.tls(papers.camera)},
    }[kind]


def expected(server: dict[str, bool], kind: str, token: str) -> object:
    """The matrix, by its rules: the connection comes first, the token after it."""
    speaks_tls = server.get("tls") or server.get("mutual")
    if not speaks_tls:
        if kind != "plain":
            return Unavailable, "UNAVAILABLE", ""
    elif kind == "plain":
        return Unavailable, "UNAVAILABLE", ""
    elif kind in ("stranger's authority", "another name"):
        return Unauthorized, "UNAVAILABLE", ""
    elif server.get("mutual") and kind != "certificate":
        return Unavailable, "UNAVAILABLE", ""
    if not server.get("tokens") or token == TOKEN:
        return "in"
    return Unauthorized, "UNAUTHENTICATED", "TOKEN_UNKNOWN" if token else "TOKEN_MISSING"


@pytest.mark.parametrize("kind", SERVERS, ids=lambda kind: "+".join(kind) or "open")
async def test_every_combination(launch, papers, kind):
    server = launch(*papers.flags(**kind))
    found, wanted = {}, {}
    for connection, token in product(CONNECTIONS, ("", WRONG, TOKEN)):
        found[connection, token] = await outcome(server.address, token=token, **options_of(papers, connection))
        wanted[connection, token] = expected(kind, connection, token)
    assert found == wanted
    assert all(secret not in json.dumps(server.log) for secret in (TOKEN, WRONG))


async def test_refusals_say_what_to_do(launch, papers):
    server = launch(*papers.flags(mutual=True))
    for options, words in (
        ({}, "TLS .tls_ca."),
        ({"tls": papers.tls()}, "client's certificate"),
        ({"tls": Tls(ca=papers.strange_ca)}, "name its CA"),
        ({"tls": papers.tls(name="elsewhere.example")}, "tls_name"),
    ):
        with pytest.raises(ConnectionError if "name" not in words else PermissionError, match=words):
            async with Client(server.address, **options) as client:
                await client.info()
    with pytest.raises(Unavailable, match="speaks no TLS"):
        async with Client(launch().address, tls=papers.tls()) as client:
            await client.info()


async def test_the_certificate_is_swapped_under_four_streams(launch, papers, tmp_path):
    mine = Papers(tmp_path)
    server = launch(*mine.flags(mutual=True, tokens=True))
    options = {"tls": mine.tls(mine.camera), "token": TOKEN}
    halfway, swapped = asyncio.Semaphore(0), asyncio.Event()

    async def frames():
        for number in range(60):
            if number == 30:
                halfway.release()
                await swapped.wait()
            yield jpeg_frame(number)

    async def run() -> list[int]:
        async with Client(server.address, **options) as client, client.stream(mode="lossless") as stream:
            return [steady.frame_id async for steady in stream.stabilize(frames())]

    running = asyncio.gather(*(run() for _ in range(4)))
    for _ in range(4):
        await asyncio.wait([running, asyncio.ensure_future(halfway.acquire())], return_when=asyncio.FIRST_COMPLETED)
        assert not running.done(), await running
    fresh = trustme.CA()  # server, clients and authority, all of another house
    fresh.cert_pem.write_to_path(mine.ca)
    mine.write("server", fresh.issue_cert("127.0.0.1"))
    assert (await outcome(server.address, **options))[0] is Unavailable  # the old papers are of no more use
    mine.write("camera", fresh.issue_cert("camera-7"))
    assert await outcome(server.address, tls=mine.tls(mine.camera), token=TOKEN) == "in"
    swapped.set()
    assert await running == [list(range(60))] * 4
    assert server.wait_for("the certificates were read again")


async def test_a_stream_goes_on_with_the_certificates_of_today(launch, papers, tmp_path):
    """All of an authority's papers are replaced while a stream runs, its server restarts, and it is taken again."""
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    now, tomorrow = Papers(tmp_path / "old"), Papers(tmp_path / "new")
    first = launch(*now.flags(mutual=True), engine="identity")
    async with (
        Client(first.address, tls=now.tls(now.camera)) as client,
        client.stream(mode="lossless", look_ahead_frames=0, resume=True) as stream,
        asyncio.timeout(60),
    ):
        assert (await stream.exchange(jpeg_frame(0))).frame_id == 0
        for old in now.folder.glob("*.pem"):
            old.write_bytes((tomorrow.folder / old.name).read_bytes())
        first.close()
        await asyncio.to_thread(launch, *tomorrow.flags(mutual=True), "--listen", first.address, engine="identity")
        assert (await stream.exchange(jpeg_frame(1))).frame_id == 1


def test_certificates_that_do_not_fit_change_nothing(launch, tmp_path):
    mine = Papers(tmp_path)
    server = launch(*mine.flags(tls=True))
    Path(mine.server[1]).write_text("half a key")
    assert asyncio.run(outcome(server.address, tls=mine.tls())) == "in"
    server.wait_for("the certificates stay as they were")
    Path(mine.server[0]).unlink()
    assert asyncio.run(outcome(server.address, tls=mine.tls())) == "in"
    server.wait_for("the certificates stay as they were", 2)


async def test_tokens_are_read_again_and_a_lost_one_ends_its_streams(launch, tmp_path):
    mine = Papers(tmp_path)
    server = launch(*mine.flags(tokens=True))
    async with (
        Client(server.address, token=TOKEN) as first,
        Client(server.address, token=OTHER) as second,
        first.stream(mode="lossless", look_ahead_frames=0) as lost,
        second.stream(mode="lossless", look_ahead_frames=0) as kept,
    ):
        await lost.exchange(jpeg_frame(0))
        await kept.exchange(jpeg_frame(0))
        mine.tokens.write_text("[tower\n")
        server.wait_for("the tokens stay as they were")
        mine.tokens.write_text(TOKENS.replace(TOKEN, "a-token-that-is-newer"))
        server.wait_for("the tokens were read again")
        with pytest.raises(Unauthorized) as caught:
            await lost.exchange(jpeg_frame(1))
        assert caught.value.reason == "TOKEN_REVOKED"
        assert (await kept.exchange(jpeg_frame(1))).frame_id == 1
        async with Client(server.address, token="a-token-that-is-newer") as third, third.stream() as idle:
            mine.tokens.write_text(TOKENS.replace(TOKEN, "a-token-newer-than-that"))
            server.wait_for("the tokens were read again", 2)
            await idle.tune(smoothing_strength=0.5)  # does not keep the place
            with pytest.raises(Unauthorized) as caught:
                await idle.receive()
            assert caught.value.reason == "TOKEN_REVOKED"
            mine.tokens.write_text(TOKENS.replace(TOKEN, "a-token-that-is-newer"))
            server.wait_for("the tokens were read again", 3)
    assert (await outcome(server.address, token=TOKEN))[2] == "TOKEN_UNKNOWN"
    assert await outcome(server.address, token="a-token-that-is-newer") == "in"


async def test_a_token_has_limits_of_its_own(launch, tmp_path):
    mine = Papers(tmp_path)
    pixels = 160 * 96
    mine.tokens.write_text(
        f'[few]\ntoken = "{TOKEN}"\nmax_streams = 1\n[slow]\ntoken = "{OTHER}"\nmax_pixels_per_second = {10 * pixels}\n'
    )
    server = launch(*mine.flags(tokens=True))
    async with Client(server.address, token=TOKEN) as few, few.stream():
        with pytest.raises(Overloaded, match="all 1 streams of the token of few") as caught:
            async with few.stream():
                pass
        assert (caught.value.reason, caught.value.retry_after) == ("TOO_MANY_STREAMS", 1.0)
        assert await outcome(server.address, token=OTHER) == "in"
    async with Client(server.address, token=OTHER) as slow:
        async with slow.stream(mode="live") as stream:  # all at once: a burst of one second's, and the rest is dropped
            returned = [steady.frame_id async for steady in stream.stabilize([jpeg_frame(n) for n in range(60)])]
        # Those dropped after the last that came back are told by nobody.
        assert 60 - len(returned) >= max(40, stream.dropped)
        async with slow.stream(mode="lossless") as stream:  # waits instead: twice the burst takes a second at least
            started = asyncio.get_running_loop().time()
            assert len([1 async for _ in stream.stabilize([jpeg_frame(n) for n in range(25)])]) == 25
            assert asyncio.get_running_loop().time() - started > 1


async def test_streams_are_watched_by_their_holder_or_an_observer(launch, tmp_path):
    mine = Papers(tmp_path)
    mine.tokens.write_text(TOKENS + '[wall]\ntoken = "an-observers-token"\nobserve = true\n')
    server = launch(*mine.flags(tokens=True))
    async with Client(server.address, token=TOKEN) as client, client.stream() as stream:
        tuned = {}
        for token in (TOKEN, OTHER, "an-observers-token"):
            async with Client(server.address, token=token) as viewer:
                try:
                    tuned[token] = (await viewer.tune(stream.info.stream_id, smoothing_strength=0.5)).stream_id
                except Unauthorized as error:
                    tuned[token] = error.status, error.reason
    assert tuned[TOKEN] == tuned["an-observers-token"] == stream.info.stream_id
    assert tuned[OTHER] == ("PERMISSION_DENIED", "NOT_YOUR_STREAM")


async def test_who_may_observe_no_more_sees_no_more(launch, tmp_path):
    mine = Papers(tmp_path)
    observer = TOKENS + '[wall]\ntoken = "an-observers-token"\n'
    mine.tokens.write_text(observer + "observe = true\n")
    server = launch(*mine.flags(tokens=True), engine="identity")
    seen = asyncio.Event()

    async def frames():
        for number in itertools.count():
            yield jpeg_frame(number)
            await asyncio.sleep(0.05)

    async with (
        Client(server.address, token=TOKEN) as client,
        Client(server.address, token="an-observers-token") as wall,
        client.stream(mode="live", look_ahead_frames=0) as stream,
        asyncio.timeout(60),
    ):

        async def watching() -> str:
            try:
                async for _ in wall.watch(stream.info.stream_id):
                    seen.set()
            except Unauthorized as error:
                return error.reason
            return "the stream ended"

        async def running() -> None:
            async for _ in stream.stabilize(frames()):
                pass

        watcher, runner = asyncio.ensure_future(watching()), asyncio.ensure_future(running())
        await seen.wait()
        mine.tokens.write_text(observer)
        assert await watcher == "NOT_YOUR_STREAM"
        runner.cancel()
        await asyncio.gather(runner, return_exceptions=True)


def test_health_needs_no_token_and_reflection_does(launch, papers):
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    server = launch(*papers.flags(tokens=True))
    with grpc.insecure_channel(server.address) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        ask = reflection_pb2.ServerReflectionRequest(list_services="")
        with pytest.raises(grpc.RpcError) as caught:
            list(reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([ask]), timeout=20))
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        basic = channel.stream_stream(
            "/flowgimbal.v1.StabilizerService/Stream", pb.StreamRequest.SerializeToString, pb.StreamResponse.FromString
        )(iter([]), metadata=[("authorization", "Basic Y2FtZXJhOg==")], timeout=20)
        with pytest.raises(grpc.RpcError) as caught:
            list(basic)
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


def test_a_token_goes_nowhere_in_the_clear():
    with pytest.raises(ValueError, match=r"token: it would go to cameras\.example:50051"):
        Client("cameras.example:50051", token=TOKEN)
    for endpoint in (
        Endpoint(("cameras.example:1",), Tls(), TOKEN),
        Endpoint(("unix:/run/x", "[::1]:1", "localhost:1", "127.0.0.2:1"), None, TOKEN),
        Endpoint(("cameras.example:1",), None, TOKEN, insecure=True),
    ):
        assert TOKEN not in repr(endpoint)
        assert endpoint.metadata() == (("authorization", f"Bearer {TOKEN}"),)
