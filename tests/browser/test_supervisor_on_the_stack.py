"""The supervisor's page on the stack that runs: what operators see and do there is what happens to real containers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, StorageState, expect

from tests.browser.test_looks import FAULTS, LOW_CONTRAST
from tests.browser.test_supervisor_page import LOOKS, button, confirm, wait_until_live
from tests.browser.visit import Visit
from tests.e2e.stack import Stack, eventually
from tests.e2e.supervisor import Supervisor

DIFFER = ("overview", "service", "incidents", "audit")  # what real data can break in another look
READY_MS = 60_000  # a container and its application start
SEEN_MS = 20_000
ADDRESS = re.compile(r"\b\d{1,3}(\.\d{1,3}){3}\b")


@pytest.fixture(scope="module")
def stack(base_url: str) -> Stack:
    found = Stack.from_environment()
    assert found is not None, f"{base_url} runs, and nothing says where its settings are"
    return found


@pytest.fixture(scope="module")
def supervisor(stack: Stack) -> Iterator[Supervisor]:
    """At work, with three backends; so many are left behind."""
    found = Supervisor(stack)
    eventually(found.is_ready, within_seconds=60)
    found.settle("backend", 3)
    with found.policies({"services": {"backend": {"scale": {"host_cpu_ratio": 1.0}}}}):  # a browser is a load, too
        yield found
    found.post("/api/services/backend/resume")
    found.settle("backend", 3)


@pytest.fixture
def visitor(browser: Browser, supervisor: Supervisor) -> Iterator[Callable[..., Visit]]:
    """Visitors of the supervisor's own address; afterwards nothing may have gone wrong behind the page's back."""
    visits: list[Visit] = []

    def make(**options: Any) -> Visit:
        settings = {"viewport": {"width": 1360, "height": 900}, "reduced_motion": "reduce"} | options
        context = browser.new_context(base_url=supervisor.url, **settings)
        context.set_default_timeout(15_000)
        visits.append(Visit(context, context.new_page(), supervisor.url))
        return visits[-1]

    yield make
    complaints = [complaint for visit in visits for complaint in visit.complaints()]
    for visit in visits:
        visit.context.close()
    assert not complaints, "\n".join(complaints)


@pytest.fixture(scope="module")
def session(browser: Browser, supervisor: Supervisor) -> StorageState:
    """The cookies of somebody who has signed in with the password that `make init` made."""
    context = browser.new_context(base_url=supervisor.url)
    page = context.new_page()
    page.goto("/sign-in")
    page.get_by_label("Password").fill(supervisor.secret("supervisor_password"))
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{supervisor.url}/")
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def operator(visitor: Callable[..., Visit], session: StorageState) -> Visit:
    return visitor(storage_state=session)


def replicas(page: Page) -> Any:
    return page.locator(".replicas tbody tr")


def stay(page: Page) -> Callable[[], bool]:
    """Says later whether the page is still the one that was loaded."""
    page.evaluate("window.isSamePage = true")
    return lambda: bool(page.evaluate("window.isSamePage === true"))


def test_the_keyboard_alone_signs_in_with_the_generated_password(
    visitor: Callable[..., Visit], supervisor: Supervisor
) -> None:
    page = visitor().page
    page.goto("/decisions")
    expect(page.get_by_label("Password")).to_be_focused()
    page.keyboard.type(supervisor.secret("supervisor_password"))
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{supervisor.url}/decisions")
    wait_until_live(page)
    page.keyboard.press("g")
    page.keyboard.press("o")
    expect(page).to_have_url(f"{supervisor.url}/")
    wait_until_live(page)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()


def test_the_overview_shows_the_containers_that_run_and_goes_on(
    operator: Visit, stack: Stack, supervisor: Supervisor
) -> None:
    page = operator.page
    page.goto("/")
    wait_until_live(page)
    for service in ("backend", "frontend", "ai-engine"):
        rows = page.locator(f'[data-key="service-{service}"] .replicas tbody tr')
        expect(rows).to_have_count(len(stack.containers(service)))
    for name in supervisor.service("backend")["replicas"]:
        expect(page.locator(f'tr[data-key="{name}"] .state').first).to_have_text("ready")
    cycle = page.locator('[data-live="cycle"]')
    before = cycle.inner_text()
    expect(cycle).not_to_have_text(before, timeout=SEEN_MS)


def test_a_number_asked_for_on_the_page_starts_a_replica_is_kept_and_stands_in_the_audit(
    operator: Visit, supervisor: Supervisor, keep_screenshot: Callable[..., None]
) -> None:
    page = operator.page
    page.goto("/services/backend")
    wait_until_live(page)
    is_same = stay(page)
    expect(replicas(page)).to_have_count(3)
    button(page, "Scale…").click()
    page.get_by_role("spinbutton", name=re.compile("^Replicas")).fill("4")
    keep_screenshot(page, "supervisor-real-scale")
    confirm(page, "Scale")
    expect(page.locator(".notice")).to_contain_text("from 3 to 4")
    expect(replicas(page)).to_have_count(4, timeout=SEEN_MS)
    expect(replicas(page).locator(".state", has_text="ready")).to_have_count(4, timeout=READY_MS)
    expect(page.locator(".hold")).to_contain_text("kept at 4 replicas by a person")
    keep_screenshot(page, "supervisor-real-scaled", full_page=True)
    button(page, "Resume…").click()
    confirm(page, "Resume")
    expect(page.locator(".hold")).to_have_count(0, timeout=SEEN_MS)
    assert is_same()
    page.goto("/audit?source=operators")
    expect(page.locator(".entry", has_text="scale").filter(has_text="backend").first).to_contain_text("accepted")
    supervisor.settle("backend", 3)


def test_a_pause_is_shown_and_ended(operator: Visit) -> None:
    page = operator.page
    page.goto("/services/frontend")
    wait_until_live(page)
    button(page, "Pause…").click()
    confirm(page, "Pause")
    expect(page.locator(".hold")).to_contain_text("frontend", timeout=SEEN_MS)
    button(page, "Resume…").click()
    confirm(page, "Resume")
    expect(page.locator(".hold")).to_have_count(0, timeout=SEEN_MS)


def test_a_killed_replica_comes_up_among_the_incidents_and_the_decisions(
    operator: Visit, stack: Stack, supervisor: Supervisor, keep_screenshot: Callable[..., None]
) -> None:
    page, decisions = operator.page, operator.context.new_page()
    for each, path in ((page, "/incidents"), (decisions, "/decisions?service=backend")):
        each.goto(path)
        wait_until_live(each)
    is_same = stay(page)
    newest = decisions.locator(".entry").first.get_attribute("data-key") or ""
    victim = supervisor.unhurt("backend")
    name = stack.docker("inspect", "-f", "{{.Name}}", victim).lstrip("/")
    stack.kill_9(victim)
    line = page.locator(".incident", has_text=name).filter(has_text="crash").first
    expect(line.locator(".state")).to_have_text("open", timeout=SEEN_MS)
    expect(decisions.locator(".entry").first).not_to_have_attribute("data-key", newest, timeout=SEEN_MS)
    assert is_same()
    line.get_by_role("link").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(name)
    expect(page.locator("main")).to_contain_text("137")
    expect(page.locator(".timeline li").first).to_be_visible()
    expect(page.locator(".timeline")).to_contain_text("It gets requests again.", timeout=READY_MS)
    keep_screenshot(page, "supervisor-real-incident", full_page=True)


@pytest.mark.parametrize("look", LOOKS)
def test_every_page_fits_and_reads_well_with_what_is_really_there(
    visitor: Callable[..., Visit],
    session: StorageState,
    supervisor: Supervisor,
    keep_screenshot: Callable[..., None],
    look: str,
) -> None:
    visit = visitor(storage_state=session, **LOOKS[look])
    page, name = visit.page, next(iter(supervisor.service("backend")["replicas"]))
    pages = {
        "overview": "/",
        "service": "/services/backend",
        "replica": f"/services/backend/replicas/{name}",
        "store": "/services/postgres",
        "decisions": "/decisions",
        "incidents": "/incidents",
        "rollouts": "/rollouts",
        "policies": "/policies?service=backend",
        "audit": "/audit",
    }
    for title, path in pages.items():
        if look != "light" and title not in DIFFER:
            continue
        page.goto(path)
        wait_until_live(page)
        if title in ("service", "replica"):
            expect(page.locator(".chart canvas").first).to_be_visible()
        keep_screenshot(page, f"supervisor-real-{look}-{title}", full_page=True)
        assert not visit.is_scrolling_sideways(), f"{path} scrolls sideways"
        assert page.evaluate(LOW_CONTRAST) == [], path
        assert page.evaluate(FAULTS) == [], path


@pytest.mark.parametrize("look", LOOKS)
def test_the_public_status_tells_no_names_no_addresses_and_offers_nothing_to_do(
    new_visit: Callable[..., Visit], stack: Stack, keep_screenshot: Callable[..., None], look: str
) -> None:
    visit = new_visit(**LOOKS[look])
    page = visit.page
    page.goto("/status")
    expect(page.get_by_role("heading", level=1)).not_to_be_empty()
    for service in ("backend", "frontend"):
        expect(page.locator(f'[data-key="{service}"] .state')).to_have_text(re.compile("up|degraded"))
    source = page.content()
    assert not re.search(rf"{re.escape(stack.project)}-[a-z-]+-\d", source), "names of containers"
    assert not ADDRESS.search(source), "addresses"
    assert page.locator("button[data-action], form").count() == 0
    keep_screenshot(page, f"supervisor-real-{look}-public", full_page=True)
    assert not visit.is_scrolling_sideways()
    assert page.evaluate(LOW_CONTRAST) == []
