"""The page in a real browser, headless Chromium with a fake camera."""

from __future__ import annotations

import importlib
import json
import signal
import time

from e2e.command import COMMAND
from e2e.page.sockets import TOKEN, url_in
from e2e.ports import free_port


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


def watched(driver) -> int:
    """How many times the page has opened a socket to watch a stream."""
    return driver.execute_script("return window.watched")


def test_a_server_that_is_away_is_tried_at_intervals(run, browser):
    """The page's own clock is held: what it does between its ticks it does without a pause."""
    address = f"127.0.0.1:{free_port()}"
    server = run(*COMMAND, "serve", "--listen", address, "--engine", "identity")
    server.wait_for("serving")
    program = run(*COMMAND, "live", "--source", "test:", "--server", address, "--web", "127.0.0.1:0")
    program.wait_for(f" on {address} ")
    held = """
        window.setInterval = (tick) => { window.tick = tick; };
        window.watched = 0;
        window.WebSocket = class extends WebSocket { constructor(url) { super(url); window.watched += 1; } };
    """
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": held})
    browser.get(url_in(program))
    eventually(browser, "return document.getElementById('raw-shake').value")
    server.end(signal.SIGKILL)
    away = "return /no server|went away/.test(document.getElementById('notice').textContent)"
    eventually(browser, away)
    before = watched(browser)
    for _ in range(20):  # time for as many answers as a page without a pause would have had
        browser.execute_async_script("fetch('streams').then((answer) => answer.json()).then(arguments[0])")
    assert watched(browser) == before
    browser.execute_script("window.tick()")
    eventually(browser, f"return window.watched === {before + 1}")
    eventually(browser, away)


def test_a_page_that_was_started_anew_asks_for_the_token_again(run, browser, tmp_path):
    token, where = tmp_path / "token", f"127.0.0.1:{free_port()}"
    token.write_text(TOKEN)
    command = (*COMMAND, "live", "--source", "test:", "--engine", "identity", "--web", where, "--web-token-file", token)
    for number in range(2):
        program = run(*command)
        program.wait_for("the page: ")
        if not number:
            browser.get(f"http://{where}/")
        while not browser.current_url.endswith("/login"):
            time.sleep(0.1)
        if not number:
            field = browser.find_element("id", "token")
            field.send_keys(TOKEN)
            field.submit()
            eventually(browser, "return document.querySelectorAll('#streams li').length > 0")
            assert program.end(signal.SIGKILL)


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
