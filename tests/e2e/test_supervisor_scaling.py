"""The supervisor scales: by load, and by an operator. Afterwards Compose finds nothing to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.stack import Stack
from tests.e2e.supervisor import Supervisor
from tests.load.supervised import READS, supervised_traffic
from tests.load.traffic import during

# The tests themselves keep two cores busy: that must not be why nothing grows.
ROOMY = {"services": {"backend": {"scale": {"host_cpu_ratio": 1.0}}}}
QUICK = {"stabilisation_seconds": 10, "down_period_seconds": 4, "manual_hold_seconds": 5}


@pytest.fixture(scope="module", autouse=True)
def calm(supervisor: Supervisor) -> Iterator[None]:
    supervisor.settle("backend", 3)
    with supervisor.policies(ROOMY):
        yield
    supervisor.settle("backend", 3)


def test_load_makes_the_backend_grow_and_its_end_makes_it_shrink(
    stack: Stack, supervisor: Supervisor, mod: Path
) -> None:
    # Two cores cannot carry real overload: a lower target makes the same load count as much.
    eager = {"metrics": {"cpu": {"target": 0.02}}, "max": 5, "min": 3}
    supervisor.post("/api/services/backend/resume")
    with supervisor.policies({"services": {"backend": {"scale": QUICK | eager}}}):
        with supervised_traffic(stack, mod, rate=40) as load:
            report = during(load, lambda: supervisor.wait_until_grown("backend", 3), at_most_seconds=120)
        assert report.lost(*READS) == []
        assert any("cpu" in line.lower() for line in supervisor.sentences("backend"))
    with supervisor.policies({"services": {"backend": {"scale": QUICK | {"min": 3, "max": 3}}}}):
        supervisor.wait_until_calm("backend", 3, within_seconds=120)
    assert stack.dry_run_changes() == []


def test_an_operator_s_number_is_kept_for_a_while_and_compose_finds_nothing_to_do(
    stack: Stack, supervisor: Supervisor
) -> None:
    for replicas in (5, 3):
        supervisor.ask("backend", "scale", replicas=replicas, hold_seconds=900)
        supervisor.wait_until_calm("backend", replicas)
        assert stack.dry_run_changes() == []
        assert len(stack.containers("backend")) == replicas


@pytest.mark.parametrize("replicas", [-1, 10_000, "abc", 1.5, None])
def test_numbers_that_cannot_be_are_refused_with_the_limits(supervisor: Supervisor, replicas: object) -> None:
    before = supervisor.service("backend")["desired"]
    answer = supervisor.post("/api/services/backend/scale", replicas=replicas)
    assert 400 <= answer.status_code < 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert supervisor.service("backend")["desired"] == before
