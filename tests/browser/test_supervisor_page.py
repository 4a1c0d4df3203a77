"""The supervisor's page in a real browser, on made-up data: every page, every action, live without a reload.

The application is the real one (uvicorn in this process); what it shows is changed by the tests. No stack is needed.
"""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, Playwright, expect

from supervisor.api.auth import COOKIE
from supervisor.domain.command import Deploy, DrainOne, Pause, RestartOne, Resume, RollBack, ScaleTo
from tests.browser.conftest import CHROMIUM_OPTIONS, skip_or_fail
from tests.browser.test_looks import FAULTS, FOCUS_WITHOUT_OUTLINE, LOW_CONTRAST
from tests.browser.visit import Visit
from tests.fixtures.supervisor_page_data import (
    NOW,
    PASSWORD,
    VENDOR_DIR,
    Stage,
    World,
    build_stage,
    hung_replica,
    replica,
    troubled_world,
    usual_world,
)

PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}
LOOKS: dict[str, dict[str, Any]] = {"light": {}, "dark": {"color_scheme": "dark"}, "phone": PHONE}
PAGES = {
    "overview": "/",
    "service": "/services/backend",
    "replica": "/services/backend/replicas/modporter-backend-2",
    "decisions": "/decisions",
    "incidents": "/incidents",
    "incident": "/incidents/2",
    "rollouts": "/rollouts",
    "policies": "/policies?service=backend",
    "audit": "/audit",
    "api": "/api/docs",
    "public": "/public/",
}
START_SECONDS = 10
LIVE_MS = 4000  # a change must be on the page by then; the usual time is some milliseconds


@dataclass
class Running:
    """The application behind a port. What touches it goes through `do`, which runs in its own event loop."""

    stage: Stage
    server: uvicorn.Server
    loop: asyncio.AbstractEventLoop
    url: str

    def do(self, action: Callable[[], object]) -> None:
        async def run() -> None:
            action()

        asyncio.run_coroutine_threadsafe(run(), self.loop).result(5)

    def publish(self) -> None:
        """The next cycle."""
        self.stage.world.cycle += 1
        self.do(self.stage.publish)

    def session_cookie(self) -> str:
        sessions = self.stage.app.state.context.gate.sessions
        return str(sessions.cookie(sessions.begin()))


@pytest.fixture(scope="module")
def own_browser(chromium: Path, playwright: Playwright) -> Iterator[Browser]:
    if not VENDOR_DIR.is_dir():
        skip_or_fail("the page's browser files are missing: run `npm ci` in supervisor/")
    browser = playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM_OPTIONS))
    yield browser
    browser.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[World], Running]]:
    """Starts applications; they stop with the test."""
    started: list[tuple[Running, threading.Thread]] = []

    def start(world: World) -> Running:
        stage = build_stage(tmp_path, world)
        server = uvicorn.Server(uvicorn.Config(stage.app, host="127.0.0.1", port=0, log_level="warning"))
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_until_complete, args=(server.serve(),), daemon=True)
        thread.start()
        deadline = time.monotonic() + START_SECONDS
        while not server.started:
            assert time.monotonic() < deadline, "the application did not start"
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        running = Running(stage, server, loop, f"http://127.0.0.1:{port}")
        started.append((running, thread))
        return running

    yield start
    for running, thread in started:
        running.do(running.stage.reports.close)
        running.server.should_exit = True
        thread.join(START_SECONDS)
        running.loop.close()


@pytest.fixture
def visitor(own_browser: Browser) -> Iterator[Callable[..., Visit]]:
    """Visitors of an application, signed in or not; afterwards nothing may have gone wrong behind the page's back."""
    visits: list[Visit] = []

    def make(running: Running, *, is_signed_in: bool = True, **options: Any) -> Visit:
        settings = {"viewport": {"width": 1360, "height": 900}, "reduced_motion": "reduce"} | options
        context = own_browser.new_context(base_url=running.url, **settings)
        context.set_default_timeout(10_000)
        if is_signed_in:
            context.add_cookies([{"name": COOKIE, "value": running.session_cookie(), "url": running.url}])
        visits.append(Visit(context, context.new_page(), running.url))
        return visits[-1]

    yield make
    complaints = [complaint for visit in visits for complaint in visit.complaints()]
    for visit in visits:
        visit.context.close()
    assert not complaints, "\n".join(complaints)


def wait_until_live(page: Page) -> None:
    expect(page.locator("#pulse")).to_have_text("live")


def button(page: Page, name: str) -> Any:
    return page.get_by_role("button", name=name, exact=True)


def confirm(page: Page, name: str) -> None:
    page.locator("#action").get_by_role("button", name=name, exact=True).click()


# --- looks ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("look", LOOKS)
def test_every_page_fits_reads_well_and_is_labelled(
    serve: Callable[[World], Running],
    visitor: Callable[..., Visit],
    keep_screenshot: Callable[..., None],
    look: str,
) -> None:
    visit = visitor(serve(troubled_world()), **LOOKS[look])
    page = visit.page
    for name, path in PAGES.items():
        page.goto(path)
        wait_until_live(page)
        if name in ("service", "replica"):
            expect(page.locator(".chart canvas").first).to_be_visible()
        keep_screenshot(page, f"supervisor-{look}-{name}", full_page=True)
        assert not visit.is_scrolling_sideways(), f"{path} scrolls sideways"
        assert page.evaluate(LOW_CONTRAST) == [], path
        assert page.evaluate(FAULTS) == [], path


def test_the_theme_is_chosen_and_kept(serve: Callable[[World], Running], visitor: Callable[..., Visit]) -> None:
    page = visitor(serve(usual_world())).page
    page.goto("/")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    for wanted in ("light", "dark"):
        page.locator("#theme").click()
        expect(page.locator("html")).to_have_attribute("data-theme", wanted)
    dark = page.evaluate(ground)
    assert dark != light
    page.goto("/decisions")
    assert page.evaluate(ground) == dark
    page.keyboard.press("t")
    assert page.evaluate(ground) == light


def test_the_focus_is_always_visible(serve: Callable[[World], Running], visitor: Callable[..., Visit]) -> None:
    page = visitor(serve(troubled_world())).page
    for path in ("/", "/services/backend", "/policies?service=backend", "/public/"):
        page.goto(path)
        for _ in range(16):
            page.keyboard.press("Tab")
            hidden = page.evaluate(FOCUS_WITHOUT_OUTLINE)
            assert hidden is None, f"{path}: {hidden}"


def test_without_scripts_the_state_is_still_told(
    serve: Callable[[World], Running], visitor: Callable[..., Visit]
) -> None:
    page = visitor(serve(troubled_world()), java_script_enabled=False).page
    page.goto("/")
    expect(page.get_by_role("heading", level=1)).to_contain_text("backend is degraded.")
    expect(page.locator('tr[data-key="modporter-backend-2"]')).to_contain_text("It did not answer 3 probes in a row")


# --- signing in -----------------------------------------------------------------------------------------------------
def test_a_person_signs_in_to_where_they_wanted_and_out_again(
    serve: Callable[[World], Running], visitor: Callable[..., Visit], keep_screenshot: Callable[..., None]
) -> None:
    running = serve(usual_world())
    visit = visitor(running, is_signed_in=False)
    visit.expected.append("403")
    page = visit.page
    page.goto("/decisions")
    keep_screenshot(page, "supervisor-sign-in")
    page.get_by_label("Password").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("That is not the password.")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{running.url}/decisions")
    wait_until_live(page)  # a click that comes before the page's script is nobody's
    button(page, "Sign out").click()
    expect(page).to_have_url(f"{running.url}/sign-in")
    page.goto("/")
    expect(page).to_have_url(f"{running.url}/sign-in")


def test_signing_out_reaches_the_other_tab(serve: Callable[[World], Running], visitor: Callable[..., Visit]) -> None:
    running = serve(usual_world())
    visit = visitor(running)
    visit.expected.append("401")
    visit.page.goto("/")
    wait_until_live(visit.page)
    other = visit.context.new_page()
    other.goto("/decisions")
    button(other, "Sign out").click()
    expect(other).to_have_url(f"{running.url}/sign-in")
    running.publish()
    expect(visit.page).to_have_url(re.compile("/sign-in"), timeout=15_000)


# --- live -----------------------------------------------------------------------------------------------------------
def test_the_overview_follows_without_a_reload(
    serve: Callable[[World], Running], visitor: Callable[..., Visit]
) -> None:
    running = serve(usual_world())
    page = visitor(running).page
    page.goto("/")
    wait_until_live(page)
    page.evaluate("window.isSamePage = true")
    world = running.stage.world

    world.services["backend"][1] = hung_replica("backend", 2)
    world.remember("backend")
    world.verdicts["backend"] = replace(world.verdicts["backend"], sentence="modporter-backend-2 hangs.", ready=2)
    running.publish()
    row = page.locator('tr[data-key="modporter-backend-2"]')
    expect(row.locator(".state")).to_have_text("hung", timeout=LIVE_MS)
    expect(page.get_by_role("heading", level=1)).to_contain_text("backend is degraded.")
    expect(page.get_by_text("modporter-backend-2 hangs.")).to_be_visible()

    world.services["backend"].append(replica("backend", 4))
    world.remember("backend", manual_hold_until=world.at + 300, manual_replicas=4)
    running.publish()
    expect(page.locator('tr[data-key="modporter-backend-4"]')).to_be_visible(timeout=LIVE_MS)
    expect(page.get_by_text("kept at 4 replicas by a person")).to_be_visible()

    world.services["backend"].pop()
    world.remember("backend")
    running.publish()
    expect(page.locator('tr[data-key="modporter-backend-4"]')).to_have_count(0, timeout=LIVE_MS)
    expect(page.get_by_text("kept at 4 replicas by a person")).to_have_count(0)
    assert page.evaluate("window.isSamePage")


def test_new_decisions_and_incidents_come_by_themselves(
    serve: Callable[[World], Running], visitor: Callable[..., Visit]
) -> None:
    running = serve(usual_world())
    page = visitor(running).page
    for path, kept in (
        ("/decisions", running.stage.archive.decisions_kept),
        ("/incidents", running.stage.archive.incidents_kept),
    ):
        page.goto(path)
        wait_until_live(page)
        newest: Any = kept[0]
        fresh = {"sentence": "Just decided."} if path == "/decisions" else {"title": "Just opened"}
        kept.insert(0, replace(newest, id=newest.id + 100, **fresh))
        verdict = running.stage.world.verdicts["backend"]
        running.stage.world.verdicts["backend"] = replace(verdict, sentence=f"Something else for {path}.")
        running.publish()
        expect(page.get_by_text(next(iter(fresh.values())))).to_be_visible(timeout=LIVE_MS)


def test_a_silent_supervisor_is_told_and_comes_back(
    serve: Callable[[World], Running], visitor: Callable[..., Visit]
) -> None:
    running = serve(usual_world())
    page = visitor(running).page
    page.goto("/")
    wait_until_live(page)
    expect(page.locator("#pulse")).to_contain_text("no news for", timeout=15_000)
    running.publish()
    wait_until_live(page)


CHANGED_NODES = """() => {
  window.changed = new Set();
  new MutationObserver((records) => records.forEach((each) => window.changed.add(each.target)))
    .observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true });
}"""


def test_a_hundred_replicas_are_followed_and_only_changed_nodes_touched(
    serve: Callable[[World], Running], visitor: Callable[..., Visit], keep_screenshot: Callable[..., None]
) -> None:
    running = serve(usual_world(100))
    page = visitor(running).page
    page.goto("/services/backend")
    wait_until_live(page)
    expect(page.locator(".replicas tbody tr")).to_have_count(100)
    keep_screenshot(page, "supervisor-100-service")
    running.stage.world.services["backend"][41] = hung_replica("backend", 42)
    running.stage.world.remember("backend")
    page.evaluate(CHANGED_NODES)
    before = time.monotonic()
    running.publish()
    row = page.locator('tr[data-key="modporter-backend-42"]')
    expect(row.get_by_text("Did not answer 3 probes")).to_be_visible()
    assert time.monotonic() - before < 2
    page.wait_for_timeout(2500)  # the parts that are fetched again must find hardly anything to change
    assert page.evaluate("window.changed.size") < 60
    page.goto("/")
    expect(page.locator(".tile")).to_have_count(100)
    keep_screenshot(page, "supervisor-100-overview")


# --- actions --------------------------------------------------------------------------------------------------------
def test_scaling_asks_says_what_came_of_it_and_can_be_undone(
    serve: Callable[[World], Running], visitor: Callable[..., Visit], keep_screenshot: Callable[..., None]
) -> None:
    running = serve(usual_world())
    page = visitor(running).page
    page.goto("/services/backend")
    button(page, "Scale…").click()
    field = page.get_by_label("Replicas (2 to 8)")
    expect(field).to_have_value("3")
    page.keyboard.press("Escape")
    expect(page.locator("#action")).to_be_hidden()
    assert running.stage.desk.commands == []

    button(page, "Scale…").click()
    field.fill("5")
    page.get_by_label("Keep it so for").select_option("1 hour")
    keep_screenshot(page, "supervisor-action-scale")
    confirm(page, "Scale")
    notice = page.locator(".notice")
    expect(notice).to_contain_text("backend is scaled from 3 to 5 replicas.")
    keep_screenshot(page, "supervisor-action-outcome")
    notice.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("backend is scaled from 3 to 3 replicas.")).to_be_visible()
    first, second = running.stage.desk.commands
    assert isinstance(first, ScaleTo)
    assert (first.replicas, first.hold_seconds, first.by) == (5, 3600, "page")
    assert isinstance(second, ScaleTo)
    assert second.replicas == 3


def test_a_refusal_is_said_where_it_was_asked(serve: Callable[[World], Running], visitor: Callable[..., Visit]) -> None:
    running = serve(usual_world())
    visit = visitor(running)
    visit.expected.append("409")
    page = visit.page
    running.stage.desk.refusal = ("host_saturated", 409, "The host has room for 4 replicas, not 8.")
    page.goto("/")
    page.locator('[data-key="service-backend"]').get_by_role("button", name="Scale…").click()
    page.get_by_label("Replicas (2 to 8)").fill("8")
    confirm(page, "Scale")
    expect(page.locator("#action").get_by_role("alert")).to_have_text("The host has room for 4 replicas, not 8.")
    expect(page.locator("#action")).to_be_visible()


ACTIONS: list[tuple[str, str, str, type, dict[str, Any], bool]] = [
    ("/services/backend", "Roll back…", "Roll back", RollBack, {}, False),
    ("/services/backend", "Pause…", "Pause", Pause, {"direction": "in", "seconds": 900.0}, True),
    ("/services/backend", "Deploy…", "Deploy", Deploy, {"image": "modporter/backend:modporter"}, True),
    ("/services/backend", "Resume…", "Resume", Resume, {}, False),
    ("/services/backend/replicas/modporter-backend-1", "Restart…", "Restart", RestartOne, {}, False),
    ("/services/backend/replicas/modporter-backend-1", "Drain…", "Drain", DrainOne, {}, True),
    ("/rollouts", "Roll back…", "Roll back", RollBack, {"service": "ai-engine"}, False),
]


@pytest.mark.parametrize(("path", "name", "verb", "kind", "fields", "has_undo"), ACTIONS)
def test_every_action(
    serve: Callable[[World], Running],
    visitor: Callable[..., Visit],
    keep_screenshot: Callable[..., None],
    path: str,
    name: str,
    verb: str,
    kind: type,
    fields: dict[str, Any],
    has_undo: bool,
) -> None:
    running = serve(troubled_world())
    page = visitor(running).page
    page.goto(path)
    button(page, name).click()
    keep_screenshot(page, f"supervisor-action-{verb.lower().replace(' ', '-')}")
    confirm(page, verb)
    expect(page.locator(".notice")).to_be_visible()
    assert page.locator(".notice").get_by_role("button", name="Undo").count() == int(has_undo)
    (command,) = running.stage.desk.commands
    assert type(command) is kind
    assert {field: getattr(command, field) for field in fields} == fields
    page.goto("/audit?source=operators")
    expect(page.locator(".entry")).to_have_count(1)
    expect(page.locator(".entry")).to_contain_text("accepted")


def test_the_audit_shows_every_call_to_docker_and_filters_what_was_refused(
    serve: Callable[[World], Running], visitor: Callable[..., Visit], keep_screenshot: Callable[..., None]
) -> None:
    running = serve(usual_world())
    page = visitor(running).page
    page.goto("/audit")
    keep_screenshot(page, "supervisor-audit-calls")
    grown = page.locator(".entry").filter(has_text="3 replicas instead of 2").last
    expect(grown.locator(".outcomes li")).to_have_text(
        [re.compile("create modporter-backend-3"), re.compile("connect to network"), re.compile("start .* 204")]
    )
    expect(grown).to_contain_text("allowed")
    page.get_by_label("Only what was refused").check()
    expect(page).to_have_url(re.compile("only_refused=true"))
    expect(page.locator(".entry .state")).to_have_text(["refused", "refused"])
    page.get_by_role("link", name="Operators").click()
    expect(page.locator(".entries .empty")).to_have_text("Nothing was refused.")
    running.stage.calls.problem = "The newest calls to Docker may be missing. docker-guard does not answer."
    page.goto("/audit")
    expect(page.locator(".banner", has_text="docker-guard does not answer.")).to_be_visible()
    expect(grown).to_be_visible()


def test_a_policy_is_tried_applied_and_taken_back(
    serve: Callable[[World], Running], visitor: Callable[..., Visit], keep_screenshot: Callable[..., None]
) -> None:
    running = serve(usual_world())
    policies = running.stage.policies
    page = visitor(running).page
    page.goto("/policies?service=backend")
    wait_until_live(page)
    button(page, "What would it do?").click()
    expect(page.locator("#outcome")).to_contain_text("Turn a number first.")
    page.get_by_label("target of cpu").fill("0.3")
    button(page, "What would it do?").click()
    expect(page.locator(".preview-plot")).to_be_visible(timeout=30_000)
    expect(page.locator("#outcome")).to_contain_text("As proposed:")
    keep_screenshot(page, "supervisor-policy-preview", full_page=True)
    assert policies.current.services["backend"].scale.metrics[0].target == 0.7

    button(page, "Apply until restart…").click()
    confirm(page, "Apply")
    expect(page.locator(".notice")).to_contain_text("changed until the restart")
    assert policies.current.services["backend"].scale.metrics[0].target == 0.3
    expect(page.locator("#part-values")).to_contain_text("a change over the API", timeout=LIVE_MS)
    page.locator(".notice").get_by_role("button", name="Undo").click()
    expect(page.get_by_label("target of cpu")).to_have_value("0.7")
    assert policies.current.services["backend"].scale.metrics[0].target == 0.7


def test_a_policy_that_cannot_be_is_refused_in_words(
    serve: Callable[[World], Running], visitor: Callable[..., Visit]
) -> None:
    visit = visitor(serve(usual_world()))
    visit.expected.append("422")
    page = visit.page
    page.goto("/policies?service=backend")
    page.get_by_label("min", exact=True).fill("9")
    button(page, "Apply and save…").click()
    confirm(page, "Apply and save")
    expect(page.locator("#action").get_by_role("alert")).to_contain_text("services.backend.scale.min is 9, more than")


# --- charts and keys ------------------------------------------------------------------------------------------------
def test_charts_say_the_reason_of_each_change(
    serve: Callable[[World], Running], visitor: Callable[..., Visit], keep_screenshot: Callable[..., None]
) -> None:
    running = serve(usual_world())
    page = visitor(running).page
    page.goto("/services/backend")
    wait_until_live(page)
    expect(page.locator(".chart canvas")).to_have_count(5)
    chart = page.locator(".chart.is-wide")
    box = chart.locator(".u-over").bounding_box()
    assert box is not None
    grown = running.stage.archive.decisions_kept[-1]
    share = 1 - (NOW - grown.at).total_seconds() / 3600  # the chart shows the hour up to the last report
    page.mouse.move(box["x"] + box["width"] * share, box["y"] + 40)
    expect(chart.locator(".readout")).to_contain_text("CPU 88 % of the target 70 %")
    expect(page.locator(".readout.is-mark")).to_have_count(1)
    keep_screenshot(page, "supervisor-chart-mark")
    button(page, "24 h").click()
    expect(button(page, "24 h")).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".chart-canvas").first).to_have_attribute("aria-label", "Replicas, the last 24 h")


ALIGNED = """async (all) => {
  const charts = await import(document.querySelector('script[src*="charts"]').src);
  return charts.aligned(all, Object.keys(all)).map((column) => column.map((value) => value ?? String(value)));
}"""


def test_a_line_ends_where_nothing_was_recorded_for_long_and_goes_on_over_a_single_point(
    serve: Callable[[World], Running], visitor: Callable[..., Visit]
) -> None:
    page = visitor(serve(usual_world())).page
    page.goto("/services/backend")
    wait_until_live(page)
    recorded = {"a": [[0, 1], [10, 1], [20, 1], [400, 2], [410, 2]], "b": [[0, 5], [20, 5], [400, 6], [410, 6]]}
    times, first, second = page.evaluate(ALIGNED, recorded)
    assert times == [0, 10, 20, 210, 400, 410]
    assert first == [1, 1, 1, "null", 2, 2]
    assert second == [5, "undefined", 5, "null", 6, 6]


def test_the_keyboard_goes_everywhere(serve: Callable[[World], Running], visitor: Callable[..., Visit]) -> None:
    running = serve(usual_world())
    page = visitor(running).page
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to content")).to_be_focused()
    page.keyboard.press("j")
    expect(page.locator('[data-key="service-ai-engine"] h3 a')).to_be_focused()
    page.keyboard.press("j")
    expect(page.locator('[data-key="service-backend"] h3 a')).to_be_focused()
    page.keyboard.press("k")
    expect(page.locator('[data-key="service-ai-engine"] h3 a')).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Keyboard")).to_be_visible()
    page.keyboard.press("Escape")
    for key, path in {"d": "/decisions", "i": "/incidents", "r": "/rollouts", "p": "/policies", "a": "/audit"}.items():
        page.keyboard.press("g")
        page.keyboard.press(key)
        expect(page).to_have_url(f"{running.url}{path}")
        page.wait_for_load_state("load")  # a key that comes before the page's script is nobody's


# --- the public view ------------------------------------------------------------------------------------------------
def test_the_public_view_follows_for_everybody(
    serve: Callable[[World], Running], visitor: Callable[..., Visit]
) -> None:
    running = serve(usual_world())
    page = visitor(running, is_signed_in=False).page
    page.clock.install()
    page.goto("/public/")
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("Everything is up."))
    running.stage.world.services["backend"][0] = hung_replica("backend", 1)
    running.stage.world.remember("backend")
    running.publish()
    page.clock.fast_forward(11_000)
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("slower or weaker"))
    expect(page.locator('[data-key="backend"] .state')).to_have_text("degraded")
    expect(page.locator("button[data-action]")).to_have_count(0)
