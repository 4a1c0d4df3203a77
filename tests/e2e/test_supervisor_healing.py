"""The supervisor heals: what dies, hangs or is ill is taken out, replaced and put back, and nobody outside notices."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.stack import Stack, eventually
from tests.e2e.supervisor import Supervisor
from tests.load.open_loop import Load
from tests.load.supervised import READS, supervised_traffic
from tests.load.traffic import during

HASTY = {"services": {"backend": {"heal": {"unhealthy_seconds": 2}}}}
KILLED = 128 + signal.SIGKILL
RATE = 30


@pytest.fixture
def load(stack: Stack, mod: Path) -> Iterator[Load]:
    with supervised_traffic(stack, mod, rate=RATE) as traffic:
        yield traffic


@pytest.fixture(scope="module", autouse=True)
def afterwards(supervisor: Supervisor) -> Iterator[None]:
    yield
    supervisor.settle("backend", 3)


@pytest.fixture(autouse=True)
def calm(supervisor: Supervisor) -> None:
    """Every scenario begins with three good backends."""
    supervisor.settle("backend", 3)


def texts(incident: dict[str, Any]) -> list[str]:
    return [entry["text"] for entry in incident["timeline"]]


def test_a_backend_whose_memory_is_full_is_back_at_once_and_the_incident_says_why(
    stack: Stack, supervisor: Supervisor
) -> None:
    victim, known = supervisor.unhurt("backend"), supervisor.incidents("backend")
    stack.fill_memory(victim)
    number = supervisor.new_incident("backend", known)["id"]
    # Docker tells of the memory first, and of the end of the process a moment later.
    eventually(lambda: supervisor.incidents("backend")[number]["exit_code"] == KILLED)
    incident = supervisor.incidents("backend")[number]
    assert (incident["kind"], incident["is_oom_killed"]) == ("oom", True)
    assert "memory was full" in incident["title"]
    eventually(lambda: victim[:12] in supervisor.listed("backend"), within_seconds=60)


def test_a_killed_backend_loses_no_read_and_comes_back_into_the_list(
    stack: Stack, supervisor: Supervisor, load: Load
) -> None:
    victim = supervisor.unhurt("backend")
    report = during(load, lambda: stack.kill_9(victim))
    assert report.lost(*READS) == []
    supervisor.wait_until_calm("backend", 3)
    assert len(supervisor.listed("backend")) == 3


def test_a_backend_that_a_person_stopped_stays_stopped(stack: Stack, supervisor: Supervisor) -> None:
    victim = stack.containers("backend")[-1]
    stack.docker("stop", victim)
    try:
        eventually(lambda: supervisor.service("backend")["ready"] == 2, within_seconds=20)
        eventually(lambda: "person" in " ".join(supervisor.sentences("backend")), within_seconds=20)
        assert stack.docker("inspect", "-f", "{{.State.Status}}", victim) == "exited"
    finally:
        stack.docker("start", victim)


def test_a_dependency_that_is_away_is_named_and_no_backend_is_restarted(
    stack: Stack, supervisor: Supervisor, visitor: httpx.Client
) -> None:
    before = {c: stack.docker("inspect", "-f", "{{.State.StartedAt}}", c) for c in stack.containers("backend")}
    with stack.stopped("pgbouncer"):
        eventually(lambda: visitor.get("/health/ready").status_code == 503, within_seconds=20)
        answer = visitor.get("/api/v1/conversions")
        assert answer.status_code in (200, 503)  # without a session there is nothing to ask the database for
        eventually(lambda: supervisor.service("backend")["ready"] == 0, within_seconds=60)
        eventually(lambda: "pgbouncer" in " ".join(supervisor.sentences("backend")), within_seconds=30)
    eventually(lambda: visitor.get("/health/ready").status_code == 200, within_seconds=30)
    supervisor.wait_until_calm("backend", 3)
    after = {c: stack.docker("inspect", "-f", "{{.State.StartedAt}}", c) for c in stack.containers("backend")}
    assert before == after


def test_a_hung_backend_is_replaced_before_it_is_stopped_and_loses_no_read(
    stack: Stack, supervisor: Supervisor, load: Load
) -> None:
    victim, known = supervisor.unhurt("backend"), supervisor.incidents("backend")

    def hang() -> None:
        os.kill(stack.pid(victim), signal.SIGSTOP)
        eventually(lambda: victim[:12] not in supervisor.listed("backend"), within_seconds=10)
        supervisor.wait_until_calm("backend", 3, within_seconds=120)

    report = during(load, hang, at_most_seconds=180)
    assert report.lost(*READS) == []
    assert max(seconds for _, kind, seconds, _ in report.by_time if kind in READS) < 8
    incident = supervisor.new_incident("backend", known)
    assert incident["kind"] == "hang"
    assert any("replacement is started" in text for text in texts(incident))


def test_a_crash_loop_ends_in_quarantine_with_a_replacement_and_one_incident(
    stack: Stack, supervisor: Supervisor
) -> None:
    victim, known = supervisor.unhurt("backend"), supervisor.incidents("backend")

    def is_quarantined() -> bool:
        if pid := stack.pid(victim):
            os.kill(pid, signal.SIGKILL)
        return bool(supervisor.replica("backend", victim)["state"] == "quarantined")

    eventually(is_quarantined, within_seconds=60, every_seconds=0.5)
    eventually(lambda: supervisor.service("backend")["ready"] == 3)
    assert stack.docker("inspect", "-f", "{{.State.Status}}", victim) == "exited"
    incident = supervisor.new_incident("backend", known)
    assert incident["kind"] == "flapping"
    assert incident["closed_at"] is None
    assert supervisor.post("/api/services/backend/resume").is_success  # ends the quarantine


def test_a_backend_that_is_ill_while_it_lives_is_drained_and_restarted(stack: Stack, supervisor: Supervisor) -> None:
    victim, known = supervisor.unhurt("backend"), supervisor.incidents("backend")
    begun = stack.docker("inspect", "-f", "{{.State.StartedAt}}", victim)
    with supervisor.policies(HASTY):
        stack.cut_off(victim, "pgbouncer")  # it lives, and says on /health/ready that it cannot work
        incident = supervisor.new_incident("backend", known)
        assert victim[:12] not in supervisor.listed("backend")
        eventually(lambda: stack.docker("inspect", "-f", "{{.State.StartedAt}}", victim) != begun, within_seconds=60)
        # It comes back beside its replacement, and one of the two is then one too many.
        supervisor.wait_until_calm("backend", 3)
    incident = supervisor.incidents("backend")[incident["id"]]
    assert incident["kind"] == "unhealthy"
    told = " ".join(texts(incident))
    assert 0 <= told.find("It is asked to stop.") < told.find("It is started again."), told
    assert "It is killed" not in told
