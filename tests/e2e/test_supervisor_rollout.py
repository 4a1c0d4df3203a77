"""Rollouts lose nothing, and bad images take themselves back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.stack import Stack, eventually
from tests.e2e.supervisor import Supervisor
from tests.load.open_loop import Report
from tests.load.supervised import supervised_traffic
from tests.load.traffic import during

QUICK = {"rollout": {"ready_seconds": 30, "step_seconds": 3, "step_max_seconds": 15, "bake_seconds": 10}}
RATE = 50


@pytest.fixture(autouse=True)
def calm(supervisor: Supervisor) -> Iterator[None]:
    supervisor.settle("backend", 3)
    with supervisor.policies({"services": {"backend": QUICK}}):
        yield
    supervisor.settle("backend", 3)


@pytest.fixture
def roll_out(stack: Stack, supervisor: Supervisor, mod: Path) -> Any:
    """Deploys an image of the fault under load; the rollout's record, and what the load saw."""

    def deploy(fault: str) -> tuple[dict[str, Any], Report]:
        image = supervisor.build(fault)
        records: list[dict[str, Any]] = []
        with supervised_traffic(stack, mod, rate=RATE) as load:
            report = during(load, lambda: records.append(supervisor.roll_out("backend", image)), at_most_seconds=400)
        return records[0], report

    return deploy


def test_a_good_image_replaces_the_old_one_and_no_request_is_lost(
    stack: Stack, supervisor: Supervisor, roll_out: Any
) -> None:
    before = set(stack.containers("backend"))
    record, report = roll_out("none")
    assert record["phase"] == "done", record
    assert report.lost() == []
    supervisor.wait_until_calm("backend", 3)
    assert not before & set(stack.containers("backend"))
    assert stack.dry_run_changes() == []
    answer = supervisor.post("/api/services/backend/rollback")
    assert answer.status_code == 202, answer.text
    eventually(lambda: not supervisor.runs(record["image"]), within_seconds=180)
    supervisor.wait_until_calm("backend", 3)
    assert stack.dry_run_changes() == []


@pytest.mark.parametrize(
    ("fault", "lost_at_most"),
    [("never-ready", 0), ("crash", 5), ("errors", 28), ("slow", 0)],
)
def test_a_bad_image_is_taken_back_by_itself(
    stack: Stack, supervisor: Supervisor, roll_out: Any, fault: str, lost_at_most: int
) -> None:
    before = set(stack.containers("backend"))
    record, report = roll_out(fault)
    assert record["phase"] == "rolled_back", record
    assert record["verdict"]
    assert report.lost_count() <= lost_at_most, report.lost()
    supervisor.wait_until_calm("backend", 3)
    assert not supervisor.runs(record["image"])
    assert before == set(stack.containers("backend")), "the old replicas were touched"
    assert stack.dry_run_changes() == []


def test_a_supervisor_that_is_killed_in_a_rollout_ends_it_all_the_same(stack: Stack, supervisor: Supervisor) -> None:
    image = supervisor.build("none")
    known = {record["id"] for record in supervisor.rollouts("backend")}
    assert supervisor.post("/api/services/backend/deploy", image=image).status_code == 202

    def phase() -> str:
        return next((r["phase"] for r in supervisor.rollouts("backend") if r["id"] not in known), "")

    for reached in ("starting", "canary", "replacing"):
        eventually(lambda reached=reached: phase() in (reached, "replacing", "baking", "done"), within_seconds=150)
        stack.kill_9(stack.containers("supervisor")[0])
        eventually(lambda: supervisor.is_ready(), within_seconds=60)
        supervisor.patch_policies({"services": {"backend": QUICK}})  # such changes last until a restart
    eventually(lambda: phase() in ("done", "rolled_back"), within_seconds=240)
    assert phase() == "done"
    supervisor.wait_until_calm("backend", 3)
    assert stack.dry_run_changes() == []


def test_an_image_that_is_not_there_is_refused(supervisor: Supervisor) -> None:
    for image in ("modporter/backend:no-such-version", "modporter/redis:local", "../../etc", ""):
        answer = supervisor.post("/api/services/backend/deploy", image=image)
        assert 400 <= answer.status_code < 500, (image, answer.text)
