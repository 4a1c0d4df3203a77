"""Tables of the pure parts: how a replica is, how long to wait, and who is to blame."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from supervisor.domain.dependency import dependency_trouble
from supervisor.domain.healing import healed
from supervisor.domain.health import Health, Verdict, judge
from supervisor.domain.memory import Departure, Errand, ReplicaMemory, ServiceMemory
from supervisor.domain.plan import Cause, Hold
from supervisor.domain.policy import HealPolicy, ServicePolicy
from supervisor.domain.recollection import backoff_seconds, recollected
from supervisor.domain.scene import Scene
from supervisor.domain.snapshot import (
    ContainerState,
    ProbeView,
    ReplicaView,
    ReportedHealth,
    ServiceView,
    Snapshot,
)

NOW = 1000.0
STARTED = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
PROBED = HealPolicy(probe_path="/health/ready")


def replica(number: int = 1, **changes: object) -> ReplicaView:
    values: dict[str, object] = {
        "id": f"id{number}",
        "name": f"modporter-backend-{number}",
        "service": "backend",
        "number": number,
        "state": ContainerState.RUNNING,
        "health": ReportedHealth.HEALTHY,
        "image": "modporter/backend:modporter",
        "image_id": "sha256:1",
        "config_hash": "h",
        "is_clone": False,
        "started_at": STARTED,
        "restart_policy": "unless-stopped",
        "addresses": {"web": f"10.0.0.{number}"},
    }
    return ReplicaView(**{**values, **changes})  # type: ignore[arg-type]


def probe(*, is_ready: bool = False, failures: int = 0, is_timeout: bool = False, age: float = 0.0) -> ProbeView:
    return ProbeView(
        at=NOW - age, is_ready=is_ready, failures=failures, latency_seconds=0.01, is_timeout=is_timeout, detail="503"
    )


def known(**changes: object) -> ReplicaMemory:
    values: dict[str, object] = {
        "replica_id": "id1",
        "first_seen": NOW - 500,
        "started_at": STARTED.isoformat(),
        "process_since": NOW - 500,
        "was_ready": True,
        "was_ever_ready": True,
        "ready_since": NOW - 500,
    }
    return ReplicaMemory(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("view", "memory", "expected"),
    [
        (replica(probe=probe(is_ready=True)), known(), Verdict.READY),
        (replica(probe=probe(failures=1)), known(), Verdict.READY),  # once is chance
        (replica(probe=probe(failures=2)), known(), Verdict.UNREADY),
        (replica(probe=probe(failures=2, is_timeout=True)), known(), Verdict.HUNG),
        (
            replica(probe=probe(failures=9, is_timeout=True, age=6.1), health=ReportedHealth.NONE),
            known(),
            Verdict.UNKNOWN,
        ),
        (replica(probe=probe(failures=9, age=6.1)), known(), Verdict.READY),  # old: the health check counts then
        (replica(probe=probe(is_ready=True), health=ReportedHealth.UNHEALTHY), known(), Verdict.UNREADY),
        (
            replica(probe=probe(failures=2, is_timeout=True), health=ReportedHealth.UNHEALTHY),
            known(),
            Verdict.HUNG,
        ),
        (replica(probe=probe(failures=5)), known(was_ready=False, process_since=NOW - 5), Verdict.STARTING),
        (
            replica(probe=probe(failures=5, is_timeout=True)),
            known(was_ready=False, process_since=NOW - 5),
            Verdict.STARTING,
        ),
        (replica(probe=probe(failures=5)), known(was_ready=False, process_since=NOW - 121), Verdict.NEVER_READY),
        (
            replica(health=ReportedHealth.UNHEALTHY),
            known(was_ready=False, process_since=NOW - 121),
            Verdict.NEVER_READY,
        ),
        (replica(health=ReportedHealth.STARTING), known(was_ready=False, process_since=NOW - 1), Verdict.STARTING),
        (replica(state=ContainerState.RESTARTING), known(), Verdict.CRASHED),
        (replica(state=ContainerState.PAUSED), known(), Verdict.PAUSED),
        (replica(state=ContainerState.CREATED), known(), Verdict.CREATED),
        (replica(state=ContainerState.EXITED, exit_code=143), known(), Verdict.STOPPED),
        (replica(state=ContainerState.EXITED, exit_code=1), known(), Verdict.STOPPED),
        (replica(state=ContainerState.EXITED, exit_code=0, restart_policy="no"), known(), Verdict.FINISHED),
        (replica(state=ContainerState.EXITED, exit_code=1, restart_policy="no"), known(), Verdict.FINISHED),
        (replica(state=ContainerState.EXITED, exit_code=0, restart_policy="on-failure"), known(), Verdict.FINISHED),
        (replica(probe=probe(is_ready=True)), known(quarantined_until=NOW + 1), Verdict.QUARANTINED),
        (replica(probe=probe(is_ready=True)), known(quarantined_until=NOW - 1), Verdict.READY),
    ],
)
def test_how_a_replica_is(view: ReplicaView, memory: ReplicaMemory, expected: Verdict) -> None:
    assert judge(view, memory, PROBED, NOW).verdict is expected


def test_without_any_check_what_runs_is_ready() -> None:
    assert judge(replica(health=ReportedHealth.NONE), known(), HealPolicy(), NOW).verdict is Verdict.READY


def test_the_back_off_doubles_within_its_bounds_and_is_the_same_for_the_same_input() -> None:
    heal = HealPolicy()
    waits = [backoff_seconds("abc", attempt, heal) for attempt in range(40)]
    assert waits == [backoff_seconds("abc", attempt, heal) for attempt in range(40)]
    assert all(0.5 <= wait <= 300.0 for wait in waits)
    assert all(wait <= max(0.5, 0.5 * 2**attempt) for attempt, wait in enumerate(waits))
    assert max(waits) > 100.0
    spread = {round(backoff_seconds(f"r{n}", 8, heal)) for n in range(50)}
    assert len(spread) > 25  # full jitter: not all at the same time


def scene(views: tuple[ReplicaView, ...], memory: ServiceMemory, **services: ServiceView) -> Scene:
    service = ServiceView(name="backend", replicas=views, depends_on=("postgres", "redis"))
    snapshot = Snapshot(at=NOW, wall=STARTED, project="modporter", services={"backend": service, **services})
    policy = ServicePolicy(service="backend", is_balanced=True, heal=PROBED)
    memory, healths = recollected(service, memory, policy, snapshot)
    return Scene(service=service, memory=memory, policy=policy, snapshot=snapshot, healths=healths)


def remembered(views: tuple[ReplicaView, ...], **changes: object) -> ServiceMemory:
    return ServiceMemory(service="backend", replicas={v.id: replace(known(**changes), replica_id=v.id) for v in views})


def other(name: str, health: ReportedHealth) -> ServiceView:
    return ServiceView(name=name, replicas=(replace(replica(health=health), id=name, name=name, service=name),))


WELL = {"redis": other("redis", ReportedHealth.HEALTHY), "postgres": other("postgres", ReportedHealth.HEALTHY)}
ILL = {**WELL, "postgres": other("postgres", ReportedHealth.UNHEALTHY)}


@pytest.mark.parametrize(
    ("ill", "total", "services", "expected"),
    [
        (1, 1, WELL, None),
        (1, 1, ILL, "is not ready: postgres is unhealthy"),
        (1, 2, ILL, None),  # half is not more than half
        (2, 3, WELL, "2 of 3 fail together: nothing that it depends on is visibly unhealthy"),
        (2, 3, ILL, "2 of 3 fail together: postgres is unhealthy"),
        (3, 3, {"redis": WELL["redis"]}, "3 of 3 fail together: postgres is not there"),
        (2, 4, ILL, None),
    ],
)
def test_more_than_half_failing_together_is_a_dependency(
    ill: int, total: int, services: Mapping[str, ServiceView], expected: str | None
) -> None:
    views = tuple(replica(n, probe=probe(failures=5 if n <= ill else 0, is_ready=n > ill)) for n in range(1, total + 1))
    trouble = dependency_trouble(scene(views, remembered(views), **services))
    assert (trouble is None) == (expected is None)
    if trouble is not None and expected is not None:
        assert expected in trouble.text


def test_a_migration_that_has_ended_well_is_no_ill_dependency() -> None:
    done = replica(state=ContainerState.EXITED, exit_code=0, restart_policy="no")
    views = (replica(1, probe=probe(failures=5)),)
    services = {**WELL, "postgres": ServiceView(name="postgres", replicas=(done,))}
    assert dependency_trouble(scene(views, remembered(views), **services)) is None


@pytest.mark.parametrize(
    ("before", "now", "restarts"),
    [
        ((0, "a"), (0, "a"), 0),
        ((0, "a"), (1, "a"), 1),  # announced by the daemon
        ((1, "a"), (1, "b"), 0),  # and done: the same one
        ((0, "a"), (1, "b"), 1),
        ((0, "a"), (3, "b"), 3),
        ((2, "a"), (0, "b"), 1),  # somebody else's start begins the count anew
        ((0, "a"), (0, "b"), 1),
    ],
)
def test_each_restart_is_counted_once(before: tuple[int, str], now: tuple[int, str], restarts: int) -> None:
    times = {"a": STARTED, "b": datetime(2026, 3, 2, 13, 0, tzinfo=UTC)}
    view = replica(restart_count=now[0], started_at=times[now[1]])
    memory = remembered((view,), restart_count=before[0], started_at=times[before[1]].isoformat())
    after = scene((view,), memory).memory.replicas["id1"]
    assert len(after.restart_times) == restarts
    assert after.restart_count == now[0]


def test_restarts_out_of_the_window_and_replicas_that_are_gone_are_forgotten() -> None:
    view = replica(1)
    memory = remembered((view, replica(2)), restart_times=(NOW - 601, NOW - 599))
    departure = Departure(replica_id="id2", errand=Errand.REMOVE, cause=Cause.SURPLUS, why="", since=NOW)
    after = scene((view,), replace(memory, departures={"id2": departure})).memory
    assert after.replicas["id1"].restart_times == (NOW - 599,)
    assert set(after.replicas) == {"id1"}
    assert after.departures == {}


def test_a_minute_of_good_health_forgives() -> None:
    view = replica(1, probe=probe(is_ready=True))
    troubled = {"failed_restarts": 2, "next_attempt_at": NOW + 100, "quarantined_until": NOW - 70, "quarantines": 2}
    for seconds, is_forgiven in ((59, False), (60, True)):
        memory = remembered((view,), ready_since=NOW - seconds, **troubled)
        after = scene((view,), memory).memory.replicas["id1"]
        assert (after.failed_restarts == 0) is is_forgiven
        assert (after.quarantined_until is None) is is_forgiven


def test_a_restart_that_happened_ends_its_departure_whoever_did_it() -> None:
    view = replica(1, started_at=datetime(2026, 3, 2, 13, 0, tzinfo=UTC), health=ReportedHealth.STARTING)
    departure = Departure(replica_id="id1", errand=Errand.RESTART, cause=Cause.UNHEALTHY, why="", since=NOW)
    memory = replace(remembered((view,), failed_restarts=3), departures={"id1": departure})
    after = scene((view,), memory).memory
    assert after.departures == {}
    assert after.replicas["id1"].next_attempt_at == NOW + backoff_seconds("id1", 3, PROBED)
    assert not after.replicas["id1"].was_ready


def test_a_clone_in_the_place_of_one_that_could_not_be_helped_goes_on_counting() -> None:
    old, clone = replica(1, probe=probe(failures=5)), replica(2, is_clone=True, probe=None)
    departure = Departure(replica_id="id1", errand=Errand.REMOVE, cause=Cause.NEVER_READY, why="", since=NOW)
    memory = remembered((old,), failed_restarts=3, restart_times=(NOW - 20, NOW - 10))
    after = scene((old, clone), replace(memory, departures={"id1": departure})).memory.replicas["id2"]
    assert after.failed_restarts == 3
    assert after.restart_times == (NOW - 20, NOW - 10, NOW)
    surplus = replace(departure, cause=Cause.SURPLUS)
    fresh = scene((old, clone), replace(memory, departures={"id1": surplus})).memory.replicas["id2"]
    assert fresh.failed_restarts == 0


@pytest.mark.parametrize(
    ("changes", "hold"),
    [
        ({"next_attempt_at": NOW + 5}, Hold.BACK_OFF),
        ({"next_attempt_at": NOW}, None),
    ],
)
def test_the_back_off_is_waited_out(changes: dict[str, float], hold: Hold | None) -> None:
    views = (replica(1, probe=probe(failures=5)), *(replica(n, probe=probe(is_ready=True)) for n in (2, 3)))
    memory = remembered(views)
    memory = replace(memory, replicas={**memory.replicas, "id1": known(**changes)})
    healing = healed(scene(views, memory))
    assert [reason.hold for reason in healing.reasons] == [hold]
    assert ("id1" in healing.scene.memory.departures) is (hold is None)


def test_after_two_restarts_in_vain_a_replica_is_made_anew_unless_it_cannot_be_copied() -> None:
    views = (replica(1, probe=probe(failures=5)), *(replica(n, probe=probe(is_ready=True)) for n in (2, 3)))
    for failed, is_balanced, errand in (
        (1, True, Errand.RESTART),
        (2, True, Errand.REMOVE),
        (2, False, Errand.RESTART),
    ):
        memory = remembered(views)
        memory = replace(memory, replicas={**memory.replicas, "id1": known(failed_restarts=failed)})
        before = scene(views, memory)
        before = replace(before, policy=replace(before.policy, is_balanced=is_balanced))
        assert healed(before).scene.memory.departures["id1"].errand is errand


def test_no_reason_is_empty() -> None:
    for verdict in (replica(probe=probe(failures=3)), replica(state=ContainerState.EXITED)):
        health: Health = judge(verdict, known(), PROBED, NOW)
        assert re.search(r"\w", health.why)
