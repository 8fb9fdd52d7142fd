"""Pages of ``flowgimbal live`` and ``flowgimbal serve``, and a browser to look at them."""

from __future__ import annotations

import json
import shutil

import pytest
import trustme
from e2e.command import COMMAND
from e2e.page.sockets import PATIENCE, TOKEN, url_in

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")


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
