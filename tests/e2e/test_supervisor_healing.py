"""The supervisor heals: what dies or hangs is taken out, replaced and put back, and nobody outside notices."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stack import Stack, eventually
from tests.e2e.supervisor import Supervisor
from tests.load.open_loop import Load
from tests.load.supervised import READS, supervised_traffic
from tests.load.traffic import during


@pytest.fixture
def load(stack: Stack, mod: Path) -> Iterator[Load]:
    with supervised_traffic(stack, mod, rate=50) as traffic:
        yield traffic


@pytest.fixture(autouse=True)
def calm(supervisor: Supervisor) -> Iterator[None]:
    """Every scenario begins and ends with three good backends."""
    supervisor.settle("backend", 3)
    yield
    supervisor.settle("backend", 3)


def test_a_killed_backend_loses_no_read_and_comes_back_into_the_list(
    stack: Stack, supervisor: Supervisor, load: Load
) -> None:
    victim = stack.containers("backend")[0]
    report = during(load, lambda: stack.kill_9(victim))
    assert report.lost(*READS) == []
    supervisor.wait_until_calm("backend", 3)
    assert len(supervisor.listed("backend")) == 3


def test_a_hung_backend_is_replaced_before_it_is_stopped_and_loses_no_read(
    stack: Stack, supervisor: Supervisor, load: Load
) -> None:
    victim = stack.containers("backend")[0]

    def hang() -> None:
        os.kill(stack.pid(victim), signal.SIGSTOP)
        eventually(lambda: victim[:12] not in supervisor.listed("backend"), within_seconds=10)
        supervisor.wait_until_calm("backend", 3, within_seconds=120)

    report = during(load, hang, at_most_seconds=180)
    assert report.lost(*READS) == []
    assert max(seconds for _, kind, seconds, _ in report.by_time if kind in READS) < 8
    incident = supervisor.newest_incident("backend")
    assert incident["kind"] == "hang"
    assert incident["timeline"]


def test_a_backend_that_a_person_stopped_stays_stopped(stack: Stack, supervisor: Supervisor) -> None:
    victim = stack.containers("backend")[-1]
    stack.docker("stop", victim)
    try:
        eventually(lambda: supervisor.service("backend")["ready"] == 2, within_seconds=20)
        eventually(lambda: "person" in " ".join(supervisor.sentences("backend")), within_seconds=20)
        assert stack.docker("inspect", "-f", "{{.State.Status}}", victim) == "exited"
    finally:
        stack.docker("start", victim)


def test_a_dependency_that_is_away_is_named_and_no_backend_is_restarted(stack: Stack, supervisor: Supervisor) -> None:
    before = {c: stack.docker("inspect", "-f", "{{.State.StartedAt}}", c) for c in stack.containers("backend")}
    with stack.stopped("pgbouncer"):
        eventually(lambda: supervisor.service("backend")["ready"] == 0, within_seconds=60)
        eventually(lambda: "pgbouncer" in " ".join(supervisor.sentences("backend")), within_seconds=30)
    supervisor.wait_until_calm("backend", 3)
    after = {c: stack.docker("inspect", "-f", "{{.State.StartedAt}}", c) for c in stack.containers("backend")}
    assert before == after
