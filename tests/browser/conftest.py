"""Headless Chromium on the running stack: one browser for all tests, a fresh visitor for each.

`make test` starts the stack and says where it is (MODPORTER_TEST_BASE_URL, MODPORTER_TEST_CA). Screenshots are kept in
artifacts/screenshots.
"""

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright

from tests.browser import quiet_chromium
from tests.browser.certificate import trusted_key_hash
from tests.browser.visit import Finished, Visit
from tests.fixtures.sample_mod import build_sample_mod

SCREENSHOTS = Path(__file__).parents[2] / "artifacts" / "screenshots"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# No sandbox: CI runs as root in a container. The rest keeps the browser from calling home.
CHROMIUM_OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def skip_or_fail(reason: str) -> NoReturn:
    """Skips on a machine that cannot run these tests, fails where they are required."""
    if os.environ.get("REQUIRE_DOCKER") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def base_url() -> str:
    url = os.environ.get("MODPORTER_TEST_BASE_URL", "").rstrip("/")
    return url or skip_or_fail("no stack is running: `make test` starts one for the browser tests")


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A command that starts the machine's Chromium; containers that come and go do not disturb it."""
    named = os.environ.get("MODPORTER_TEST_CHROMIUM")
    found = named or next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if not found:
        skip_or_fail("Chromium is not installed: install the package `chromium`")
    command = tmp_path_factory.mktemp("chromium") / "chromium"
    words = [sys.executable, str(Path(quiet_chromium.__file__)), found]
    command.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
    command.chmod(0o755)
    return command


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """One for all browsers: Playwright refuses a second one in the same thread."""
    with sync_playwright() as found:
        yield found


@pytest.fixture(scope="session")
def browser(base_url: str, chromium: Path, playwright: Playwright) -> Iterator[Browser]:
    """Chromium, which trusts the one key that the stack's own CA has signed."""
    options = list(CHROMIUM_OPTIONS)
    if base_url.startswith("https:"):
        key_hash = trusted_key_hash(base_url, Path(os.environ["MODPORTER_TEST_CA"]))
        options.append(f"--ignore-certificate-errors-spki-list={key_hash}")
    browser = playwright.chromium.launch(executable_path=chromium, args=options)
    yield browser
    browser.close()


@pytest.fixture
def new_visit(browser: Browser, base_url: str) -> Iterator[Callable[..., Visit]]:
    """Makes visitors with cookies of their own; afterwards nothing may have gone wrong behind the page's back."""
    visits: list[Visit] = []

    def make(**options: object) -> Visit:
        settings = {"viewport": {"width": 1280, "height": 900}, "reduced_motion": "reduce"} | options
        context: BrowserContext = browser.new_context(base_url=base_url, **settings)  # type: ignore[arg-type]
        context.set_default_timeout(15_000)
        visits.append(Visit(context, context.new_page(), base_url))
        return visits[-1]

    yield make
    complaints = [complaint for visit in visits for complaint in visit.complaints()]
    for visit in visits:
        visit.context.close()
    assert not complaints, "\n".join(complaints)


@pytest.fixture
def visit(new_visit: Callable[..., Visit]) -> Visit:
    return new_visit()


@pytest.fixture(scope="session")
def finished(browser: Browser, base_url: str, sample_jar: Path) -> Finished:
    """One conversion for all tests that only look at a result."""
    context = browser.new_context(base_url=base_url)
    path = Visit(context, context.new_page(), base_url).convert(sample_jar)
    cookies = context.storage_state()
    context.close()
    return Finished(path, cookies)


@pytest.fixture
def owner(new_visit: Callable[..., Visit], finished: Finished) -> Visit:
    """The visitor who owns the finished conversion, looking at it."""
    visit = new_visit(storage_state=finished.cookies)
    visit.page.goto(finished.path)
    return visit


@pytest.fixture(scope="session")
def sample_jar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small mod that the repository makes itself."""
    path = tmp_path_factory.mktemp("mods") / "sample-mod.jar"
    build_sample_mod(path)
    return path


@pytest.fixture(scope="session")
def keep_screenshot() -> Callable[..., None]:
    """Keeps what a page looks like as artifacts/screenshots/<name>.png."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)

    def keep(page: Page, name: str, *, full_page: bool = False) -> None:
        page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=full_page, animations="disabled")

    return keep
