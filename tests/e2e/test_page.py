"""The page: over its sockets, and in a real browser."""

from __future__ import annotations

import asyncio
import importlib
import json
import shutil
import ssl
import struct
import sys
from contextlib import asynccontextmanager

import aiohttp
import cv2
import numpy as np
import pytest
import trustme

from flowgimbal.client import Client, Frame

COMMAND = (sys.executable, "-m", "flowgimbal.client.cli")
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
PATIENCE = 60
TOKEN = "the-token-of-the-page"


@pytest.fixture
def live(run):
    """The URL of the page of ``flowgimbal live`` on the test picture."""

    def start(*arguments: object) -> str:
        program = run(*COMMAND, "live", "--source", "test:", "--web", "127.0.0.1:0", *arguments)
        program.wait_for("the page: ")
        program.wait_for("stream ")
        return url_in(program)

    return start


@pytest.fixture
def serve(run):
    """The URL of the page of ``flowgimbal serve``, and the server's address."""

    def start(*arguments: object) -> tuple[str, str]:
        program = run(
            *COMMAND, "serve", "--listen", "127.0.0.1:0", "--web", "127.0.0.1:0", "--log-format", "json", *arguments
        )
        program.wait_for("the page is served")
        said = [json.loads(line) for line in program.said]
        return (
            next(line["url"] for line in said if "url" in line),
            next(line["addresses"] for line in said if "addresses" in line),
        )

    return start


def url_in(program) -> str:
    return next(line.rpartition(" ")[2] for line in program.said if "the page: " in line)


def unpacked(message: bytes) -> tuple[dict, bytes, bytes]:
    (length,) = struct.unpack_from(">I", message)
    head = json.loads(message[4 : 4 + length])
    start = 4 + length
    return head, message[start : start + head["raw_bytes"]], message[start + head["raw_bytes"] :]


def size(jpeg: bytes) -> tuple[int, int]:
    height, width = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).shape[:2]
    return width, height


async def listed(session: aiohttp.ClientSession, url: str) -> list[dict]:
    async with session.get(url + "streams") as answer:
        return await answer.json()


async def streams_once(session: aiohttp.ClientSession, url: str, count: int) -> list[dict]:
    """The list of streams as soon as it has ``count``."""
    async with asyncio.timeout(PATIENCE):
        while len(streams := await listed(session, url)) != count:  # noqa: ASYNC110 - another process lists them
            await asyncio.sleep(0.1)
    return streams


async def first_stream(session: aiohttp.ClientSession, url: str) -> str:
    (stream,) = await streams_once(session, url, 1)
    return stream["stream_id"]


@asynccontextmanager
async def watching(url: str, **query: object):
    """A session, the stream's id, and the socket of one who watches it."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(PATIENCE):
        stream_id = await first_stream(session, url)
        async with session.ws_connect(f"{url}watch/{stream_id}", params=query) as socket:
            yield session, stream_id, socket


async def sights(socket, count: int):
    """The next ``count`` pictures, each said to be seen; what else is said in between is left out."""
    while count:
        message = await socket.receive()
        assert message.type in (aiohttp.WSMsgType.BINARY, aiohttp.WSMsgType.TEXT), message
        if message.type is aiohttp.WSMsgType.BINARY:
            await socket.send_json({"seen": 1})
            count -= 1
            yield unpacked(message.data)


async def answer(socket) -> dict:
    """The next thing said that is no picture."""
    while True:
        message = await socket.receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            return json.loads(message.data)
        assert message.type is aiohttp.WSMsgType.BINARY, message
        await socket.send_json({"seen": 1})


async def test_pictures_come_as_they_are_taken(live):
    async with watching(live(), width=320) as (_, stream_id, socket):
        heads = []
        async for head, raw, steady in sights(socket, 10):
            assert size(raw) == size(steady) == (320, 180)
            heads.append(head)
        assert heads[0]["info"]["stream_id"] == stream_id
        ids = [head["frame_id"] for head in heads]
        assert ids == sorted(set(ids))
        assert any(head["motion"] for head in heads)
        assert (heads[0]["width"], heads[0]["height"]) == (640, 360)


async def test_who_sees_nothing_is_sent_no_more(live):
    async with watching(live(), width=320) as (_, __, socket):
        for _ in range(2):
            assert (await socket.receive()).type is aiohttp.WSMsgType.BINARY
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.receive(), 1)


async def test_settings_change_and_refusals_change_nothing(live):
    async with watching(live()) as (_, __, socket):
        wished = {"smoothing_strength": 0.3, "look_ahead_frames": 4, "max_crop_ratio": 0.2, "pins": [[1, 2, 30, 40]]}
        await socket.send_json({"tune": wished})
        assert wished.items() <= (await answer(socket))["info"]["settings"].items()
        for wrong in (
            {"smoothing_strength": 3},
            {"smoothing_strength": "much"},
            {"look_ahead_frames": 1e99},
            {"pins": [[1, 2]]},
            {"pins": "all"},
            {"crop_policy": "wild"},
            {"mode": "lossless"},
            [],
        ):
            await socket.send_json({"tune": wrong})
            assert (await answer(socket))["error"], wrong
        await socket.send_str("{")
        assert (await answer(socket))["error"]
        head, _, _ = [sight async for sight in sights(socket, 12)][-1]
        assert wished.items() <= head["info"]["settings"].items()
        assert head["info"]["latency_frames"] == 4


async def test_only_the_page_itself_may_use_it(live):
    url = live()
    async with aiohttp.ClientSession() as session:
        stream_id = await first_stream(session, url)
        for path, headers, status in (
            ("", {"Origin": "http://elsewhere.example"}, 403),
            ("streams", {"Origin": "null"}, 403),
            (f"watch/{stream_id}", {"Origin": "http://elsewhere.example"}, 403),
            ("camera", {"Origin": "http://elsewhere.example"}, 403),
            ("", {"Host": "elsewhere.example"}, 403),
            ("streams", {"Host": "elsewhere.example:80"}, 403),
            ("watch/nobody", {}, 404),
            (f"watch/{stream_id}?width=9", {}, 400),
            (f"watch/{stream_id}?width=wide", {}, 400),
            ("assets/", {}, 404),
            ("__init__.py", {}, 404),
            ("../web/site.py", {}, 404),
            ("page.js", {}, 200),
            ("streams", {"Origin": url.rstrip("/")}, 200),
        ):
            async with session.get(url + path, headers=headers) as reply:
                assert reply.status == status, (path, headers)
                if status == 200:
                    assert "default-src 'none'" in reply.headers["Content-Security-Policy"]


async def test_a_camera_is_a_stream_like_others(serve):
    url, _ = serve()
    picture = cv2.imencode(".jpg", np.full((120, 160, 3), 90, np.uint8))[1].tobytes()
    async with aiohttp.ClientSession() as session, asyncio.timeout(PATIENCE):
        async with session.ws_connect(url + "camera") as camera:
            await camera.send_json({"smoothing_strength": 0.5})
            stream_id = (await camera.receive_json())["stream_id"]
            assert [(one["stream_id"], one["label"]) for one in await listed(session, url)] == [
                (stream_id, "camera of a browser")
            ]

            async def film() -> None:
                for number in range(10_000):
                    await camera.send_bytes(struct.pack(">d", number * 33.3) + picture)
                    await asyncio.sleep(0.03)

            filming = asyncio.ensure_future(film())
            async with session.ws_connect(f"{url}watch/{stream_id}") as socket:
                async for head, _, _ in sights(socket, 5):
                    assert (head["width"], head["height"]) == (160, 120)
                    assert head["info"]["settings"]["smoothing_strength"] == 0.5
            filming.cancel()
        await streams_once(session, url, 0)  # the stream goes with the browser


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ("{", b""),
        ('{"smoothing_strength": 9}', b""),
        ("[]", b""),
        ("{}", b"short"),
        ("{}", None),
    ],
)
async def test_a_camera_that_sends_rubbish_is_told(serve, first, then):
    url, _ = serve()
    async with aiohttp.ClientSession() as session, asyncio.timeout(PATIENCE):
        async with session.ws_connect(url + "camera") as camera:
            await camera.send_str(first)
            told = await camera.receive_json()
            if "stream_id" in told and then is not None:
                await camera.send_bytes(then)
                told = await camera.receive_json()
            assert told.get("error") or then is None
        await streams_once(session, url, 0)


async def test_serve_shows_the_streams_of_its_clients(serve):
    url, address = serve("--engine", "identity")
    async with Client(address) as client, client.stream(output_encoding="jpeg") as stream:  # noqa: SIM117
        async with aiohttp.ClientSession() as session, asyncio.timeout(PATIENCE):
            for number in range(5):
                await stream.exchange(Frame.from_array(np.full((96, 160, 3), number, np.uint8)))
            (one,) = await listed(session, url)
            assert one["stream_id"] == stream.info.stream_id
            assert (one["width"], one["height"], one["received"], one["engine"]) == (160, 96, 5, "identity")
            assert one["returned"] in (4, 5)  # the last one may be counted just after it was read


def test_a_page_that_cannot_be_served_is_said(run, serve):
    url, _ = serve()
    taken = url.removeprefix("http://").rstrip("/")
    again = run(*COMMAND, "serve", "--listen", "127.0.0.1:0", "--engine", "identity", "--web", taken)
    assert again.exit_code() == 3
    assert again.count(f"web: cannot serve the page at {taken}") == 1
    live = run(*COMMAND, "live", "--source", "test:", "--web", taken)
    assert live.exit_code() == 2
    assert live.count(f"web: cannot serve the page at {taken}") == 1
    for wrong in (("--web", "nowhere"), ("--web", "127.0.0.1:0", "--processes", "2")):
        refused = run(*COMMAND, "serve", *wrong)
        assert refused.exit_code() == 2
        assert refused.count("web: ") == 1


@pytest.fixture
def locked(run, tmp_path):
    """The URL of a page over https that wants TOKEN, and the authority that its certificate is of."""
    authority = trustme.CA()
    leaf = authority.issue_cert("127.0.0.1")
    files = {name: tmp_path / name for name in ("page.pem", "page-key.pem", "token")}
    leaf.cert_chain_pems[0].write_to_path(str(files["page.pem"]))
    leaf.private_key_pem.write_to_path(str(files["page-key.pem"]))
    files["token"].write_text(f"{TOKEN}\n")
    flags = (
        "--web-certificate",
        files["page.pem"],
        "--web-key",
        files["page-key.pem"],
        "--web-token-file",
        files["token"],
    )
    program = run(*COMMAND, "live", "--source", "test:", "--web", "127.0.0.1:0", *flags)
    program.wait_for("the page: ")
    program.wait_for("stream ")
    assert TOKEN not in "".join(program.said)
    return url_in(program), authority


async def test_a_page_with_a_token_opens_for_who_knows_it(locked):
    url, authority = locked
    context = ssl.create_default_context()
    authority.configure_trust(context)
    assert url.startswith("https://")
    jar = aiohttp.CookieJar(unsafe=True)  # of an IP address
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context), cookie_jar=jar) as session:

        async def status(path: str, **options: object) -> int:
            async with session.get(url + path, allow_redirects=False, **options) as answer:
                return answer.status

        assert [await status(path) for path in ("", "page.js", "streams", "camera", "watch/x")] == [303, *[401] * 4]
        assert [await status(path) for path in ("login", "page.css")] == [200, 200]
        assert await status("streams", headers={"Authorization": f"Bearer {TOKEN}"}) == 200
        assert await status("streams", headers={"Authorization": "Bearer no"}) == 401
        assert await status("streams", cookies={"flowgimbal": "guessed"}) == 401
        async with session.post(url + "login", data={"token": "wrong"}) as answer:
            assert (answer.status, "That is not the token" in await answer.text()) == (401, True)
        async with session.post(url + "login", data={"token": TOKEN}, headers={"Origin": "https://evil"}) as answer:
            assert answer.status == 403
        async with session.post(url + "login", data={"token": TOKEN}, allow_redirects=False) as answer:
            cookie = answer.headers["Set-Cookie"]
            assert answer.status == 303
        assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict", "Secure"))
        assert [await status(path) for path in ("", "page.js", "streams")] == [200] * 3


async def test_a_page_before_a_server_with_tokens(run, tmp_path):
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(f'[camera]\ntoken = "{TOKEN}"\n')
    flags = ("--listen", "127.0.0.1:0", "--web", "127.0.0.1:0", "--log-format", "json", "--tokens-file", tokens)
    program = run(*COMMAND, "serve", *flags)
    program.wait_for("the page is served")
    said = [json.loads(line) for line in program.said]
    url = next(line["url"] for line in said if "url" in line)
    address = next(line["addresses"] for line in said if "addresses" in line)
    async with Client(address, token=TOKEN) as client, client.stream(), aiohttp.ClientSession() as session:
        assert len(await streams_once(session, url, 1)) == 1


@pytest.mark.parametrize("command", ["serve", "live"])
def test_a_page_that_others_reach_wants_https_and_a_token(flowgimbal, command):
    flags = ["--source", "test:"] if command == "live" else []
    refused = flowgimbal(command, *flags, "--web", "0.0.0.0:0")
    assert refused.returncode == 2
    assert "web: others reach 0.0.0.0:0: it needs TLS" in refused.stderr
    assert "a token (web_token_file)" in refused.stderr


@pytest.fixture
def browser(tmp_path):
    """Headless Chromium with a fake camera."""
    if BROWSER is None or DRIVER is None:
        pytest.skip("needs a browser: chromium and chromedriver (Debian: chromium-driver)")
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    quiet = ("quic", "background-networking", "component-update", "sync", "gpu", "default-apps", "extensions")
    for argument in (
        "headless=new",
        "no-sandbox",
        "no-first-run",
        "use-fake-device-for-media-stream",
        "use-fake-ui-for-media-stream",
        f"user-data-dir={tmp_path / 'profile'}",
        "window-size=1400,1300",
        *(f"disable-{what}" for what in quiet),
    ):
        options.add_argument(f"--{argument}")
    options.accept_insecure_certs = True  # of an authority that lives for one test
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.set_script_timeout(PATIENCE)
    try:
        yield driver
    finally:
        driver.quit()


def eventually(driver, script: str) -> object:
    """What ``script`` returns as soon as it is true."""
    waiting = f"""
        const done = arguments[0];
        const look = () => {{ const found = (() => {{ {script} }})(); found ? done(found) : setTimeout(look, 50); }};
        look();
    """
    return driver.execute_async_script(waiting)


def text_of(driver, element: str) -> str:
    return driver.execute_script("return document.getElementById(arguments[0]).textContent", element)


def picture_of(driver, canvas: str) -> str:
    return driver.execute_script("return document.getElementById(arguments[0]).toDataURL()", canvas)


def set_slider(driver, name: str, value: float) -> None:
    driver.execute_script(
        "const slider = document.getElementById(arguments[0]); slider.value = arguments[1];"
        "slider.dispatchEvent(new Event('input', {bubbles: true}));",
        name,
        value,
    )


def asked_for(driver) -> set[str]:
    """Where the page loaded from, sockets too."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    urls += [event["params"]["url"] for event in events if event["method"] == "Network.webSocketCreated"]
    return {url.split("/")[2] for url in urls if not url.startswith(("data:", "blob:", "chrome:"))}


def test_the_page_in_a_browser(live, browser):
    url = live()
    browser.get(url)
    eventually(browser, "return document.getElementById('raw-shake').value")
    for canvas in ("raw", "steady"):
        before = picture_of(browser, canvas)
        eventually(browser, f"return document.getElementById('{canvas}').toDataURL() !== {json.dumps(before)}")
    # What is measured is shown: the test picture shakes, and is steadier for it.
    gain = eventually(browser, "return parseFloat(document.getElementById('gain').textContent) || null")
    assert gain > 3
    in_force = "JSON.parse(document.getElementById('settings').dataset.inForce)"
    for name, value in (("smoothing_strength", 0.35), ("look_ahead_frames", 7), ("max_crop_ratio", 0.2)):
        set_slider(browser, name, value)
        eventually(browser, f"return Math.abs({in_force}.{name} - {value}) < 1e-6")
    # A rectangle is drawn on the picture, and the part stays put until it is removed.
    actions = importlib.import_module("selenium.webdriver").ActionChains(browser)
    canvas = browser.find_element("id", "raw")
    actions.move_to_element_with_offset(canvas, -100, -60).click_and_hold().move_by_offset(120, 80).release().perform()
    (pin,) = eventually(browser, f"const pins = {in_force}.pins; return pins.length ? pins : null")
    assert 50 < pin[2] < 400
    browser.find_element("css selector", "#pins button").click()
    eventually(browser, f"return {in_force}.pins.length === 0")
    assert browser.get_log("browser") == []
    assert asked_for(browser) == {url.split("/")[2]}


def test_the_page_fits_a_phone_and_serves_the_keyboard(live, browser):
    browser.get(live())
    eventually(browser, "return document.getElementById('raw-shake').value")
    unnamed = """
        return [...document.querySelectorAll('input, select, button, canvas')].filter((one) =>
            !(one.labels?.length || one.textContent.trim() || one.ariaLabel)).map((one) => one.id);
    """
    assert browser.execute_script(unnamed) == []
    for width in (360, 390, 768, 1400):
        size = {"width": width, "height": 800, "deviceScaleFactor": 2, "mobile": width < 800}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        eventually(browser, f"return document.documentElement.scrollWidth <= {width}")
        beside = browser.execute_script(
            "const [raw, steady] = ['raw', 'steady'].map((id) => document.getElementById(id).getBoundingClientRect());"
            "return raw.top === steady.top"
        )
        assert beside == (width > 700)
    keys = importlib.import_module("selenium.webdriver").Keys
    browser.find_element("id", "smoothing_strength").send_keys(keys.HOME)
    eventually(
        browser, "return JSON.parse(document.getElementById('settings').dataset.inForce).smoothing_strength === 0"
    )


def test_the_browsers_camera_through_the_server_and_back(serve, browser):
    url, _ = serve()
    browser.get(url)
    eventually(browser, "return document.getElementById('notice').textContent.startsWith('No stream runs')")
    browser.find_element("id", "camera").click()
    eventually(browser, "return parseFloat(document.getElementById('age').textContent) > 0")
    before = picture_of(browser, "steady")
    eventually(browser, f"return document.getElementById('steady').toDataURL() !== {json.dumps(before)}")
    assert text_of(browser, "size").startswith(("1280", "640"))
    browser.find_element("id", "camera").click()
    eventually(browser, "return document.getElementById('notice').textContent.startsWith('No stream runs')")
    assert browser.get_log("browser") == []


def test_the_token_is_asked_for_in_a_browser(locked, browser):
    url, _ = locked
    browser.get(url)
    field = browser.find_element("id", "token")
    field.send_keys("wrong")
    field.submit()
    eventually(browser, "return document.querySelector('[role=alert]')?.textContent.includes('not the token')")
    field = browser.find_element("id", "token")
    field.send_keys(TOKEN)
    field.submit()
    eventually(browser, "return document.querySelectorAll('#streams li').length > 0")
