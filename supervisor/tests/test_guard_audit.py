"""docker-guard's book in the history: from a real guard over its socket, across restarts of either, each call once."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
from collections.abc import AsyncIterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from supervisor.adapters.clock import SystemClock
from supervisor.adapters.docker_guard_book import book_of
from supervisor.adapters.docker_runtime import DockerRuntime, Engine
from supervisor.adapters.sqlite_history import SqliteHistory
from supervisor.adapters.sqlite_schema import MIGRATIONS
from supervisor.loop.calls import CallCollector
from supervisor.ports import CallKeeper, GuardAudit, GuardBook, Refused, Unavailable
from tests.fixtures.docker_guard_fakes import GUARD_1, WEB_1, FakeDocker, fill, guard_in_thread

PROJECT = "shop"
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # see the fixture's end
APART_SECONDS = 0.03  # the guard writes down when a call ended, just after it answered


class Site:
    """A Docker, the guard before it (which a test may stop and start) and a supervisor's history."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.docker = FakeDocker(folder / "docker.sock")
        self.guard = ExitStack()
        self.runtime = DockerRuntime(
            Engine(socket_path=str(folder / "full.sock"), project=PROJECT, timeout_seconds=2), SystemClock()
        )
        self.history = SqliteHistory(folder / "history.sqlite3")
        self.collector = self.another_supervisor()
        self.is_acting = True

    def another_supervisor(self) -> CallCollector:
        return CallCollector(self.runtime, self.history, lambda: self.is_acting)

    def start_guard(self) -> None:
        self.guard.enter_context(guard_in_thread(self.folder, self.docker))

    def stop_guard(self) -> None:
        self.guard.close()

    async def kept(self) -> list[tuple[str, str, str]]:
        """What, subject and verdict, newest first."""
        records = await self.history.audit()
        return [(record.what, record.call.subject, record.call.verdict) for record in records if record.call]


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    site = Site(tmp_path)
    fill(site.docker)
    site.docker.start()
    site.start_guard()
    await site.history.load_memory()  # from then on there is a file to read
    yield site
    site.stop_guard()
    site.docker.stop()
    site.runtime.close()
    await site.history.close()
    gc.collect()  # the SDK leaves failed sockets to it: now, and not in another test


async def test_every_call_is_kept_with_its_cause_and_verdict(site: Site) -> None:
    await site.runtime.signal(WEB_1, "TERM", cause="7-1 surplus: one replica too many")
    with pytest.raises(Refused):
        await site.runtime.signal(GUARD_1, "KILL", cause="7-2 hung: no answer")
    await site.collector.collect()
    refused, allowed = await site.history.audit()
    assert (allowed.by, allowed.what, allowed.service) == ("supervisor", "kill", "web")
    assert allowed.detail == "7-1 surplus: one replica too many"
    assert allowed.is_accepted
    assert allowed.call is not None
    assert (allowed.call.subject, allowed.call.verdict, allowed.call.status) == ("shop-web-1", "allowed", 204)
    assert allowed.call.path.endswith("/kill?signal=TERM")
    assert not refused.is_accepted
    assert refused.call is not None
    assert refused.call.reason == "docker-guard is not changed from here"
    assert site.collector.problem == ""


async def test_what_is_collected_twice_is_kept_once_and_a_new_supervisor_begins_with_all(site: Site) -> None:
    await site.runtime.signal(WEB_1, "HUP", cause="1-1 ready: a")
    await site.collector.collect()
    await site.collector.collect()
    await site.another_supervisor().collect()
    assert await site.kept() == [("kill", "shop-web-1", "allowed")]


async def test_a_guard_that_starts_anew_counts_from_one_again_and_nothing_is_lost(site: Site) -> None:
    for number in (1, 2, 3):
        await site.runtime.signal(WEB_1, "HUP", cause=f"{number}-1 ready: a")
    await site.collector.collect()
    site.stop_guard()
    await site.collector.collect()
    assert "may be missing. Docker cannot be reached" in site.collector.problem
    assert len(await site.kept()) == 3  # what was kept is still there
    site.start_guard()
    await site.runtime.start_stopped(WEB_1, cause="4-1 stopped: b")
    await site.collector.collect()
    assert site.collector.problem == ""
    assert await site.kept() == [("start", "shop-web-1", "allowed"), *[("kill", "shop-web-1", "allowed")] * 3]


async def test_the_one_that_stands_by_does_not_collect(site: Site) -> None:
    await site.runtime.signal(WEB_1, "HUP", cause="1-1 ready: a")
    site.is_acting = False
    await site.collector.collect()
    assert await site.kept() == []


async def test_operators_and_calls_are_one_list_by_time_with_filters_and_pages(site: Site) -> None:
    await site.runtime.signal(WEB_1, "HUP", cause="1-1 ready: a")
    await asyncio.sleep(APART_SECONDS)
    await site.history.add_audit(by="page", what="scale", service="web", detail="5", is_accepted=True)
    await asyncio.sleep(APART_SECONDS)
    with pytest.raises(Refused):
        await site.runtime.signal(GUARD_1, "HUP", cause="2-1 ready: b")
    await asyncio.sleep(APART_SECONDS)
    await site.history.add_audit(by="page", what="scale", service="web", detail="500", is_accepted=False)
    await site.collector.collect()  # after both of the operator's, so that the ids are in another order
    details = ["500", "2-1 ready: b", "5", "1-1 ready: a"]
    assert [record.detail for record in await site.history.audit()] == details
    paged: list[str] = []
    before = None
    while found := await site.history.audit(limit=1, before=before):
        paged.append(found[0].detail)
        before = found[0].id
    assert paged == details
    assert [record.detail for record in await site.history.audit(source="operators")] == ["500", "5"]
    assert [record.detail for record in await site.history.audit(source="docker")] == ["2-1 ready: b", "1-1 ready: a"]
    assert [record.detail for record in await site.history.audit(only_refused=True)] == ["500", "2-1 ready: b"]
    (found_one,) = await site.history.audit(source="docker", only_refused=True)
    assert found_one.detail == "2-1 ready: b"


class FullDisk:
    """A keeper that refuses until it is told that there is room."""

    def __init__(self) -> None:
        self.is_full = True
        self.kept: list[int] = []

    async def keep_calls(self, book: GuardBook) -> None:
        if self.is_full:
            raise Unavailable("The disk is full.")
        self.kept += [entry.number for entry in book.entries]


async def test_what_the_disk_did_not_take_is_handed_in_again(site: Site) -> None:
    disk = FullDisk()
    keeper: CallKeeper = disk
    guard: GuardAudit = site.runtime
    collector = CallCollector(guard, keeper, lambda: True)
    await site.runtime.signal(WEB_1, "HUP", cause="1-1 ready: a")
    await collector.collect()
    assert collector.problem.endswith("The disk is full.")
    disk.is_full = False
    await collector.collect()
    assert (disk.kept, collector.problem) == ([1], "")


@pytest.mark.parametrize(
    "answer", [None, [], {}, {"book": "a", "entries": [{}], "reads": {}}, {"book": "a", "entries": 3}]
)
def test_an_answer_that_is_no_audit_is_told(answer: object) -> None:
    with pytest.raises(Unavailable, match="no audit"):
        book_of(answer, PROJECT)


async def test_a_history_from_before_takes_calls_too(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        for statement in MIGRATIONS[0]:
            connection.execute(statement)
        connection.execute("INSERT INTO audit VALUES (7, 1000, 'page', 'scale', 'web', '5', 1)")
        connection.execute("PRAGMA user_version = 1")
        connection.commit()
    history = SqliteHistory(path)
    await history.add_audit(by="token", what="deploy", service="web", detail="", is_accepted=True)
    assert [record.what for record in await history.audit()] == ["deploy", "scale"]
    assert history.problem == ""
    await history.close()
