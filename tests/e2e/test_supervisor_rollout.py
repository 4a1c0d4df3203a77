"""Rollouts lose nothing, and bad images take themselves back: one after the other, under one load that goes on."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.stack import Stack, eventually
from tests.e2e.supervisor import Supervisor
from tests.load.open_loop import Report
from tests.load.supervised import supervised_traffic
from tests.load.traffic import meanwhile

STEPS = {"canary_weights": [5, 100], "step_seconds": 3, "step_max_seconds": 8, "bake_seconds": 5}
QUICK = {"services": {"backend": {"rollout": {"ready_seconds": 30, **STEPS}}}}
IMPATIENT = {"services": {"backend": {"rollout": {"ready_seconds": 10}}}}  # for an image that is not ready ever
PHASES = ("starting", "canary", "replacing", "baking", "done")
RATE = 40
AT_MOST_SECONDS = 900
TAIL_SECONDS = 5


@dataclass(frozen=True)
class Rollout:
    """What came of it: the record, the requests that were lost, and the containers of before."""

    record: dict[str, Any]
    lost: Counter[str]  # by kind and what came back
    before: dict[str, str]  # id -> image


@pytest.fixture(scope="module")
def traffic(stack: Stack, supervisor: Supervisor, mod: Any) -> Iterator[Report]:
    """Three good backends under load, and a supervisor in a hurry."""
    supervisor.settle("backend", 3)
    with (
        supervisor.policies(QUICK, save=True),  # also while it is killed
        supervised_traffic(stack, mod, rate=RATE) as load,
        meanwhile(load, at_most_seconds=AT_MOST_SECONDS) as seen,
    ):
        yield seen
    supervisor.settle("backend", 3)


@pytest.fixture(scope="module")
def lost_during(traffic: Report) -> Callable[[Callable[[], object]], Counter[str]]:
    """Does something, and tells which requests came to nothing meanwhile or soon after."""

    def do(action: Callable[[], object]) -> Counter[str]:
        began = time.monotonic()
        action()
        time.sleep(TAIL_SECONDS)
        return Counter(f"{loss.kind}: {loss.what}" for loss in traffic.losses() if loss.ended >= began)

    return do


@pytest.fixture(scope="module")
def roll_out(stack: Stack, supervisor: Supervisor, lost_during: Any) -> Callable[[str], Rollout]:
    """Deploys an image with the fault and waits for the end of it."""

    def deploy(fault: str) -> Rollout:
        before, image = images(stack), supervisor.build(fault)
        records: list[dict[str, Any]] = []
        lost = lost_during(lambda: records.append(supervisor.roll_out("backend", image)))
        supervisor.wait_until_calm("backend", 3)
        return Rollout(records[0], lost, before)

    return deploy


@pytest.fixture(scope="module")
def good(roll_out: Callable[[str], Rollout]) -> Rollout:
    return roll_out("none")


def images(stack: Stack) -> dict[str, str]:
    """The backends, each with the image that it was made from."""
    return {found: stack.docker("inspect", "-f", "{{.Image}}", found) for found in stack.containers("backend")}


def test_a_good_image_replaces_the_old_one_and_no_request_is_lost(stack: Stack, good: Rollout) -> None:
    assert good.record["phase"] == "done", good.record
    assert not good.lost
    assert not good.before.keys() & set(stack.containers("backend"))
    assert stack.dry_run_changes() == []


def test_a_supervisor_that_is_killed_in_every_phase_of_the_way_back_ends_it_all_the_same(
    stack: Stack, supervisor: Supervisor, good: Rollout, lost_during: Any
) -> None:
    known = {record["id"] for record in supervisor.rollouts("backend")}

    def phase() -> str:
        return next((r["phase"] for r in supervisor.rollouts("backend") if r["id"] not in known), "")

    def there_and_killed() -> None:
        answer = supervisor.post("/api/services/backend/rollback")
        assert answer.status_code == 202, answer.text
        for number in range(len(PHASES) - 1):
            eventually(lambda number=number: phase() in PHASES[number:], within_seconds=120)
            stack.kill_9(stack.containers("supervisor")[0])
            eventually(supervisor.is_ready, within_seconds=60)
        eventually(lambda: phase() in ("done", "rolled_back"), within_seconds=180)

    lost = lost_during(there_and_killed)
    assert phase() == "done"
    assert not lost
    supervisor.wait_until_calm("backend", 3)
    assert set(images(stack).values()) == set(good.before.values())
    assert stack.dry_run_changes() == []


@pytest.mark.parametrize(("fault", "lost_at_most"), [("never-ready", 0), ("crash", 5), ("errors", 28), ("slow", 0)])
def test_a_bad_image_is_taken_back_by_itself(
    stack: Stack, supervisor: Supervisor, roll_out: Callable[[str], Rollout], fault: str, lost_at_most: int
) -> None:
    with supervisor.policies(IMPATIENT if fault == "never-ready" else QUICK):
        bad = roll_out(fault)
    assert bad.record["phase"] == "rolled_back", bad.record
    assert bad.record["verdict"]
    assert bad.lost.total() <= lost_at_most, bad.lost
    assert not supervisor.runs(bad.record["image"])
    assert bad.before == images(stack), "the old replicas were touched"
    assert stack.dry_run_changes() == []


def test_an_image_that_is_not_there_is_refused(supervisor: Supervisor) -> None:
    for image in ("modporter/backend:no-such-version", "modporter/redis:local", "../../etc", ""):
        answer = supervisor.post("/api/services/backend/deploy", image=image)
        assert 400 <= answer.status_code < 500, (image, answer.text)
