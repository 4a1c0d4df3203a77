"""The pages as HTML: what they show, that they escape, that they send nothing elsewhere, and how fast they are."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

from common.browser_files import BrowserFilesMissingError
from supervisor.api.dashboard.audit_page import entries_of
from supervisor.api.dashboard.formats import ago, duration, percent, rate, size
from supervisor.api.dashboard.static_files import load_static_files
from supervisor.api.dashboard.uptime import percent_up, uptime_bars
from supervisor.domain.snapshot import ContainerState
from tests.fixtures.supervisor_page_data import (
    NOW,
    FakeArchive,
    Stage,
    build_stage,
    call,
    client_of,
    replica,
    stand_in_files,
    troubled_world,
    usual_world,
)

PAGES = (
    "/",
    "/services/backend",
    "/services/ai-engine",
    "/services/backend/replicas/modporter-backend-2",
    "/decisions",
    "/decisions?service=backend&only_actions=true",
    "/incidents",
    "/incidents/1",
    "/incidents/2",
    "/rollouts",
    "/policies",
    "/policies?service=postgres",
    "/audit",
    "/api/docs",
    "/public/",
)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return build_stage(tmp_path, troubled_world(), static_vendor_dir=stand_in_files(tmp_path))


class Reading(HTMLParser):
    """Collects what a strict content security policy forbids, and every address."""

    def __init__(self) -> None:
        super().__init__()
        self.forbidden: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self._is_script = False

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if name == "style" or name.startswith("on") or (value or "").startswith("javascript:"):
                self.forbidden.append(f"<{tag} {name}={value}>")
            if name in ("href", "src", "action") and value:
                self.addresses.append(value)
            if name == "id" and value:
                self.ids.append(value)
        if tag in ("style", "base", "iframe", "object"):
            self.forbidden.append(f"<{tag}>")
        self._is_script = tag == "script"

    def handle_data(self, data: str) -> None:
        if self._is_script and data.strip():
            self.forbidden.append(f"inline script: {data[:40]}")

    def handle_endtag(self, tag: str) -> None:
        self._is_script = False


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_holds_nothing_inline_and_asks_nobody_else(stage: Stage, path: str) -> None:
    async with client_of(stage) as client:
        answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;")
    assert "unsafe" not in policy
    reading = Reading()
    reading.feed(answer.text)
    assert reading.forbidden == []
    assert len(reading.ids) == len(set(reading.ids))
    own = {"https://localhost/status/"}  # where NGINX shows the public view
    assert [address for address in reading.addresses if "//" in address and address not in own] == []


@pytest.mark.parametrize("path", ["/incidents/2", "/services/backend/replicas/modporter-backend-2"])
async def test_log_lines_are_text(stage: Stage, path: str) -> None:
    async with client_of(stage) as client:
        page = (await client.get(path)).text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script>alert" not in page


async def test_the_overview_tells_state_reason_and_numbers(stage: Stage) -> None:
    async with client_of(stage) as client:
        page = (await client.get("/")).text
    for words in (
        "backend is degraded.",
        "2 of 3 replicas are ready: modporter-backend-2 hangs",
        "It did not answer 3 probes in a row",
        "kept at 3 replicas by a person",
        "BackendErrorRateHigh",
        "rollout: canary, 20 %",
        "99.91 % answering in 41 observed days of 90",
        "modporter-backend-2 does not answer",
    ):
        assert words in page, words
    assert page.index(">backend</a></h3>") < page.index(">ai-engine</a></h3>")  # trouble first


async def test_only_what_can_be_done_to_a_service_is_offered(stage: Stage) -> None:
    async with client_of(stage) as client:
        for path, offered in {
            "/services/backend": {"scale", "deploy", "rollback", "pause"},
            "/services/postgres": {"pause"},  # it has no list at the load balancer, so that nothing can take its place
            "/services/backend/replicas/modporter-backend-1": {"restart", "drain"},
            "/services/postgres/replicas/modporter-postgres-1": {"restart"},
        }.items():
            text = (await client.get(path)).text
            assert set(re.findall(r'data-action="([a-z]+)"', text)) - {"resume"} == offered, path


async def test_decisions_say_why_and_why_not_and_what_came_of_it(stage: Stage) -> None:
    async with client_of(stage) as client:
        page = (await client.get("/decisions")).text
        acted = (await client.get("/decisions?only_actions=true")).text
        other = (await client.get("/decisions?service=ai-engine")).text
    for words in ("Why: ", "Why not: ", "metric_above_target", "stabilising", "Failed: the guard refused it"):
        assert words in page, words
    assert "The queue is empty" in other
    assert "The queue is empty" not in acted
    assert "grows from 2 to 3" not in other


async def test_more_than_a_page_goes_on(stage: Stage) -> None:
    first = stage.archive.decisions_kept[0]
    stage.archive.decisions_kept = [
        type(first)(**{**{name: getattr(first, name) for name in first.__slots__}, "id": number})
        for number in range(120, 0, -1)
    ]
    async with client_of(stage) as client:
        page = (await client.get("/decisions?service=backend")).text
        older = re.search(r'href="(/decisions\?[^"]+before=\d+)"', page)
        assert older is not None
        rest = (await client.get(older[1].replace("&amp;", "&"))).text
    assert page.count('data-key="decision-') == rest.count('data-key="decision-') == 50
    assert 'data-key="decision-71"' in page
    assert 'data-key="decision-70"' in rest


async def test_links_elsewhere_only_when_they_are_configured(tmp_path: Path) -> None:
    files = stand_in_files(tmp_path)
    path = "/services/backend/replicas/modporter-backend-1"
    async with client_of(build_stage(tmp_path, static_vendor_dir=files)) as client:
        assert "Grafana" not in (await client.get(path)).text
    url = "https://grafana.example/d/replica?service={service}&replica={replica}"
    async with client_of(build_stage(tmp_path, static_vendor_dir=files, grafana_url=url)) as client:
        page = (await client.get(path)).text
    assert 'href="https://grafana.example/d/replica?service=backend&amp;replica=modporter-backend-1"' in page
    assert "Traces" not in page


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/nope", 404),
        ("/services/nope", 404),
        ("/services/backend/replicas/nope", 404),
        ("/incidents/99", 404),
        ("/incidents/abc", 404),
        ("/static/0/nope.js", 404),
    ],
)
async def test_what_is_not_there_is_a_page_for_people(stage: Stage, path: str, status: int) -> None:
    async with client_of(stage) as client:
        answer = await client.get(path)
    assert answer.status_code == status
    assert "<h1>Not Found</h1>" in answer.text


async def test_a_history_that_is_away_is_told(stage: Stage) -> None:
    stage.archive.problem = "the file is being mended"
    async with client_of(stage) as client:
        assert (await client.get("/")).status_code == 200
        answer = await client.get("/decisions")
    assert answer.status_code == 503
    assert "the file is being mended" in answer.text


async def test_files_are_kept_by_browsers_only_under_their_own_hash(stage: Stage) -> None:
    async with client_of(stage, token="") as client:
        page = (await client.get("/sign-in")).text
        address = re.search(r'href="(/static/[0-9a-f]{16}/base\.css)"', page)
        assert address is not None
        assert "immutable" in (await client.get(address[1])).headers["cache-control"]
        assert (await client.get("/static/another/base.css")).headers["cache-control"] == "no-cache"
        assert (await client.get("/favicon.ico")).headers["content-type"].startswith("image/svg+xml")


def test_missing_browser_files_stop_the_start(tmp_path: Path) -> None:
    with pytest.raises(BrowserFilesMissingError, match="npm ci"):
        load_static_files(tmp_path)


async def test_a_hundred_replicas_render_quickly(tmp_path: Path) -> None:
    stage = build_stage(tmp_path, usual_world(100), static_vendor_dir=stand_in_files(tmp_path))
    async with client_of(stage) as client:
        for path in ("/", "/services/backend"):
            assert (await client.get(path)).status_code == 200  # compiles the templates
            best = float("inf")
            for _ in range(5):  # the least of them: this machine does other things too
                stage.world.wobble()
                stage.publish()
                before = time.process_time()
                await client.get(path)
                best = min(best, time.process_time() - before)
            assert best < 0.05, f"{path}: {best * 1000:.0f} ms"


# --- the public view ------------------------------------------------------------------------------------------------
async def test_the_public_view_names_no_machine(stage: Stage) -> None:
    stage.world.problems = ("172.20.0.9 refuses connections",)
    stage.publish()
    async with client_of(stage, token="") as client:
        page = (await client.get("/public/")).text
    assert "backend: a replica stopped answering" in page
    assert "ai-engine: a replica ran out of memory" in page
    assert "degraded" in page
    for secret in ("172.20.", "modporter-", "modporter/", "sha256", "INFO ", "probe", "hangs", "canary", "csrf"):
        assert secret not in page, secret
    assert not re.search(r"\b[0-9a-f]{12,}\b", re.sub(r"static/[0-9a-f]{16}/", "", page))


async def test_a_one_shot_that_is_done_is_no_stop_by_a_person_and_nothing_that_visitors_miss(stage: Stage) -> None:
    done = replica("migrate", 1, state=ContainerState.EXITED, exit_code=0, restart_policy="no", probe=None)
    stage.world.services["migrate"] = [done]
    stage.publish()
    async with client_of(stage) as client:
        page = (await client.get("/services/migrate")).text
        public = (await client.get("/public/")).text
    assert "Has done its work." in page
    assert "by a person" not in page
    assert "postgres" in public
    assert "migrate" not in public


async def test_the_public_view_works_below_any_prefix(stage: Stage) -> None:
    async with client_of(stage, token="") as client:
        page = (await client.get("/public/")).text
        reading = Reading()
        reading.feed(page)
        own = [address for address in reading.addresses if not address.startswith("#")]
        assert [address for address in own if address.startswith("/")] == ["/"]  # the platform itself
        for address in own:
            if address.startswith("static/"):
                assert (await client.get(f"/public/{address}")).status_code == 200
        assert (await client.get("/public/sign-in")).status_code == 404


async def test_asking_the_public_view_again_costs_nothing(stage: Stage) -> None:
    async with client_of(stage, token="") as client:
        first = await client.get("/public/")
        again = await client.get("/public/", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_the_public_view_does_not_claim_what_it_does_not_know(stage: Stage) -> None:
    stage.reports._changed_at -= 60
    async with client_of(stage, token="") as client:
        page = (await client.get("/public/")).text
    assert "The state is not known right now." in page


# --- words for numbers ----------------------------------------------------------------------------------------------
def test_numbers_read_as_people_write_them() -> None:
    assert [percent(value) for value in (None, 0.004, 0.125)] == ["\N{EN DASH}", "0 %", "13 %"]
    assert [rate(value) for value in (0.42, 12.3, 3439.0)] == ["0.4", "12", "3,439"]
    assert [duration(value) for value in (0.083, 1.44, 59.0, 61.0, 7300.0, 200_000.0)] == [
        "83 ms",
        "1.4 s",
        "59 s",
        "1 min",
        "2 h",
        "2 d",
    ]
    assert [size(value) for value in (212_000_000, 16_000_000_000)] == ["212 MB", "16.0 GB"]
    assert ">in 5.0 s<" in ago(NOW + timedelta(seconds=5), NOW)
    assert ">just now<" in ago(NOW - timedelta(seconds=2), NOW)


async def test_ninety_days_never_round_up_to_perfection() -> None:
    assert [percent_up(value) for value in (1.0, 0.99999, 0.9991, 0.987, 0.5)] == [
        "100 %",
        "99.99 %",
        "99.91 %",
        "98.7 %",
        "50.0 %",
    ]
    bars = uptime_bars(await FakeArchive().uptime("backend"))
    assert bars.svg.count("<rect") == 90
    assert [bars.svg.count(f'class="{kind}"') for kind in ("good", "fair", "bad", "blank")] == [39, 1, 1, 49]
    assert "degraded 32 min and down 52 min" in bars.svg
    assert uptime_bars([]).svg == ""


async def test_the_audit_joins_operators_and_calls_and_groups_what_one_cause_did(stage: Stage) -> None:
    async with client_of(stage) as client:
        assert (await client.post("/api/services/backend/resume")).status_code == 202
        text = (await client.get("/audit")).text
    assert stage.calls.collected == 1
    assert text.count('class="entry"') == 1 + 5  # the grown replica's three calls are one entry
    assert text.index("resume") < text.index("<b>GET</b>") < text.index("3 replicas instead of 2")
    grown = text[text.index("3 replicas instead of 2", text.index("killed after 1 s")) :]
    assert grown.index("<b>create</b>") < grown.index("<b>connect to network</b>") < grown.index("<b>start</b>")
    assert "4659-2" not in text  # the cause in words, and not its number
    assert "modporter-backend-2 did not answer 3 probes in a row; modporter-backend-4 is ready" in text
    assert "<code>hung</code> <code>ready</code>" in text
    assert "<b>signal KILL</b>" in text
    assert "Docker answered 409" in text
    assert "<b>GET</b> /<wbr>v1.<wbr>41/<wbr>info" in text
    assert "this call is not on the list" in text
    assert "41,893 calls" in text


def test_actions_that_are_carried_out_at_once_are_told_one_by_one() -> None:
    first, second, resumed = "571-1 operator: start a-1", "571-2 operator: start a-2", "902-1 operator: start a-1"
    made = [
        call(1, 500, "create", first, subject="a-1"),
        call(2, 300, "create", first, subject="a-1"),
        call(3, 299, "create", second, subject="a-2"),
        call(4, 298, "start", first, subject="a-1"),
        call(5, 297, "start", second, subject="a-2", status=500),
        call(6, 10, "start", resumed, subject="a-1"),
    ]
    entries = entries_of(made[::-1])
    told = [(entry.title, [line.what for line in entry.lines], entry.verdict) for entry in entries]
    assert told == [
        ("start a-1", ["start"], "allowed"),
        ("start a-2", ["create", "start"], "failed"),
        ("start a-1", ["create", "start"], "allowed"),
        ("start a-1", ["create"], "allowed"),  # long before: another one with the same words
    ]


async def test_the_audit_is_filtered_and_paged(stage: Stage) -> None:
    async with client_of(stage) as client:
        refused = (await client.get("/audit?only_refused=true")).text
        assert refused.count('class="entry"') == 2
        assert 'href="/audit?source=docker&amp;only_refused=true"' in refused
        operators = (await client.get("/audit?source=operators")).text
        assert "Nothing has been asked for yet." in operators
        stage.archive.calls_kept *= 20
        for number, record in enumerate(stage.archive.calls_kept):
            stage.archive.calls_kept[number] = replace(record, id=number + 1, at=NOW - timedelta(seconds=number))
        first = (await client.get("/audit?source=docker")).text
        older = re.search(r'href="(/audit\?source=docker&amp;before=\d+)"', first)
        assert older is not None
        second = (await client.get(older[1].replace("&amp;", "&"))).text
        shown = [re.findall(r"<b>[\w ]+</b>", page) for page in (first, second)]
        assert [len(lines) for lines in shown] == [50, 50]
        assert (await client.get("/audit?source=nobody")).status_code == 404


async def test_the_audit_goes_on_while_the_guard_is_away_and_says_so(stage: Stage) -> None:
    stage.calls.problem = "The newest calls to Docker may be missing. Docker cannot be reached: \N{CROSS MARK}."
    async with client_of(stage) as client:
        page = await client.get("/audit")
        answer = await client.get("/api/audit?only_refused=true")
    assert page.status_code == 200
    assert "The newest calls to Docker may be missing." in page.text
    assert "3 replicas instead of 2" in page.text
    assert answer.headers["x-audit-problem"].startswith("The newest calls to Docker may be missing.")
    assert [record["call"]["verdict"] for record in answer.json()] == ["refused", "refused"]
