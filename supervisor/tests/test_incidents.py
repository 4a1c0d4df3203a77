"""An incident opens when something is wrong, tells what happened, and closes by itself. One trouble, one incident."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from supervisor.domain import incidents
from supervisor.domain.incidents import Changes, Incidents
from supervisor.domain.memory import Departure, Errand, Memory, ReplicaMemory, Rollout, RolloutPhase, ServiceMemory
from supervisor.domain.plan import (
    Cause,
    Hold,
    Outcome,
    Plan,
    Reason,
    ServiceVerdict,
    SetMembers,
    SignalReplica,
    StartReplica,
)
from supervisor.domain.records import IncidentRecord
from supervisor.domain.snapshot import (
    BalancerView,
    ContainerState,
    Member,
    ProbeView,
    ReplicaView,
    ReportedHealth,
    ServiceView,
    Snapshot,
)
from supervisor.domain.troubles import Kind, Observation

START = datetime(2026, 1, 1, 12, tzinfo=UTC)
CYCLE = 2.0


def replica(number: int = 1, **changes: Any) -> ReplicaView:
    base = ReplicaView(
        id=f"id-{number}",
        name=f"modporter-backend-{number}",
        service="backend",
        number=number,
        state=ContainerState.RUNNING,
        health=ReportedHealth.HEALTHY,
        image="backend:1",
        image_id="sha256:1",
        config_hash="h",
        is_clone=False,
        created_at=START - timedelta(hours=1),
        started_at=START - timedelta(hours=1),
        exit_code=0,
        restart_policy="unless-stopped",
    )
    return replace(base, **changes)


class World:
    """A service `backend` that a test changes between cycles; counts what opened and closed."""

    def __init__(self, *replicas: ReplicaView) -> None:
        self.replicas = list(replicas or (replica(),))
        self.memory = ServiceMemory(service="backend", replicas={r.id: remembered(r) for r in self.replicas})
        self.reasons: tuple[Reason, ...] = ()
        self.balancer: BalancerView | None = None
        self.is_complete = True
        self.at = 1000.0
        self.state = Incidents()
        self.opened: list[IncidentRecord] = []

    def look(self, *outcomes: Outcome, cycles: int = 1) -> Changes:
        for _ in range(cycles):
            self.at += CYCLE
            changes = incidents.follow(self.state, self._observation(outcomes))
            self.state = changes.incidents
            self.opened += changes.opened
        return changes

    def _observation(self, outcomes: tuple[Outcome, ...]) -> Observation:
        views = {"backend": ServiceView(name="backend", replicas=tuple(self.replicas))} if self.is_complete else {}
        snapshot = Snapshot(
            at=self.at,
            wall=START + timedelta(seconds=self.at - 1000.0),
            project="modporter",
            services=views,
            balancer=self.balancer,
            is_complete=self.is_complete,
            problems=() if self.is_complete else ("Docker does not answer: timed out",),
        )
        ready = sum(
            r.state is ContainerState.RUNNING and r.health is ReportedHealth.HEALTHY and r.id not in self.leaving()
            for r in self.replicas
        )
        verdict = ServiceVerdict(
            service="backend",
            sentence="It is so.",
            desired=len(self.replicas),
            running=len(self.replicas),
            ready=ready,
            reasons=self.reasons,
        )
        return Observation(
            snapshot=snapshot,
            memory=Memory(services={"backend": self.memory}),
            plan=Plan(verdicts={"backend": verdict} if self.is_complete else {}),
            outcomes=outcomes,
        )

    def leaving(self) -> set[str]:
        return set(self.memory.departures)

    def change(self, index: int = 0, **changes: Any) -> None:
        self.replicas[index] = replace(self.replicas[index], **changes)

    def remember(self, **changes: Any) -> None:
        self.memory = replace(self.memory, **changes)

    @property
    def only(self) -> IncidentRecord:
        (item,) = self.state.open
        return item.record

    def texts(self) -> list[str]:
        return [entry.text for entry in self.only.timeline]

    def crash(self, index: int = 0) -> None:
        """The process ends and the daemon has restarted it before the next look."""
        before = self.replicas[index]
        self.change(index, restart_count=before.restart_count + 1, started_at=START + timedelta(seconds=self.at))


def remembered(view: ReplicaView, **changes: Any) -> ReplicaMemory:
    return ReplicaMemory(replica_id=view.id, first_seen=0.0, was_ready=True, **changes)


def departure(cause: Cause, why: str = "It does not answer.", **changes: Any) -> Departure:
    return Departure(replica_id="id-1", errand=Errand.RESTART, cause=cause, why=why, since=0.0, **changes)


def test_nothing_wrong_opens_nothing() -> None:
    world = World(replica(1), replica(2, health=ReportedHealth.STARTING))
    world.look(cycles=100)
    assert world.opened == []


def test_a_crash_opens_an_incident_that_closes_after_a_minute_of_good_health() -> None:
    world = World()
    world.look()
    world.crash()
    opened = world.look().opened
    assert [(record.id, record.kind, record.replica) for record in opened] == [(1, "crash", "modporter-backend-1")]
    assert opened[0].title == "modporter-backend-1 crashed."
    world.look(cycles=30)
    assert world.only.closed_at is None
    closed = world.look().changed
    assert closed[0].closed_at is not None
    assert world.state.open == ()


@pytest.mark.parametrize(
    ("seen", "kind", "code"),
    [
        ({"state": ContainerState.RESTARTING, "restart_count": 1, "exit_code": 139}, Kind.CRASH, 139),
        (
            {"state": ContainerState.RESTARTING, "restart_count": 1, "exit_code": 137, "is_oom_killed": True},
            Kind.OOM,
            137,
        ),
        ({"state": ContainerState.EXITED, "exit_code": 1, "restart_policy": "no"}, Kind.CRASH, 1),
        ({"state": ContainerState.EXITED, "exit_code": 1, "restart_policy": "on-failure"}, Kind.CRASH, 1),
        ({"is_oom_killed": True}, Kind.OOM, None),  # the daemon tells of a child process as well
    ],
)
def test_ends_that_nobody_wanted(seen: dict[str, Any], kind: Kind, code: int | None) -> None:
    world = World()
    world.look()
    world.change(**seen)
    (record,) = world.look().opened
    assert (record.kind, record.exit_code, record.is_oom_killed) == (kind, code, kind is Kind.OOM)


@pytest.mark.parametrize(
    "seen",
    [
        {"state": ContainerState.EXITED, "exit_code": 0, "restart_policy": "no"},  # it has done its work
        {"state": ContainerState.EXITED, "exit_code": 143},  # the daemon would have restarted it: a person's stop
        {"state": ContainerState.EXITED, "exit_code": 137},
        {"started_at": START},  # a person's `docker restart` does not count as one of the daemon's
    ],
)
def test_ends_that_somebody_wanted(seen: dict[str, Any]) -> None:
    world = World(replica(1), replica(2))
    world.look()
    world.change(**seen)
    world.look(cycles=40)
    assert world.opened == []


def test_what_had_failed_before_the_supervisor_looked_first_is_no_news() -> None:
    world = World(replica(1, state=ContainerState.EXITED, exit_code=1, restart_policy="no"), replica(2))
    world.look(cycles=3)
    assert world.opened == []


def test_a_dead_replica_that_nobody_restarts_keeps_its_incident_open() -> None:
    world = World(replica(1), replica(2))
    world.look()
    world.change(state=ContainerState.EXITED, exit_code=1, restart_policy="no")
    world.look(cycles=100)
    assert world.only.kind == "crash"


def test_a_crash_loop_is_one_incident_that_becomes_graver() -> None:
    world = World()
    world.look()
    for _ in range(5):
        world.crash()
        world.change(state=ContainerState.RESTARTING, exit_code=1)
        world.look()
        world.change(state=ContainerState.RUNNING, exit_code=0)
        world.look(cycles=5)
    assert world.only.title == "modporter-backend-1 crashed 5 times."
    assert sum("crashed" in text for text in world.texts()) == 5
    assert world.only.exit_code == 1
    world.remember(replicas={"id-1": remembered(world.replicas[0], quarantined_until=9999.0)})
    world.look(cycles=100)
    assert world.only.kind == "flapping"
    assert len(world.opened) == 1


def test_a_crash_is_counted_once_whenever_it_is_seen() -> None:
    world = World()
    world.look()
    running, restarting = ContainerState.RUNNING, ContainerState.RESTARTING
    for state, count, crashes in (
        (restarting, 1, 1),
        (restarting, 1, 1),
        (running, 1, 1),
        (running, 2, 2),  # it was restarted between two looks
        (restarting, 2, 2),  # the list was read before the count, and is behind it
        (running, 2, 2),
        (restarting, 3, 3),
        (running, 4, 4),  # restarted, crashed, and restarted
        (restarting, 5, 5),
        (restarting, 6, 6),
    ):
        world.change(state=state, restart_count=count)
        world.look()
        assert sum("crashed" in text for text in world.texts()) == crashes


def test_full_memory_that_is_told_before_the_end_of_the_process_is_one_crash() -> None:
    world = World()
    world.look()
    world.change(is_oom_killed=True)
    world.look()
    world.change(restart_count=1, exit_code=137)
    world.look()
    assert world.only.kind == "oom"
    assert "memory was full" in world.only.title
    assert world.only.exit_code == 137
    world.crash()
    world.look()
    assert world.only.title == "modporter-backend-1 crashed 2 times."


def test_a_hang_tells_what_was_done_about_it() -> None:
    world = World(replica(1), replica(2))
    listed = tuple(Member(replica_id=view.id, address=f"10.0.0.{view.number}:8000") for view in world.replicas)
    world.balancer = BalancerView(at=0.0, written=1, applied=1, members={"backend": listed})
    world.look()
    hung = departure(Cause.HUNG, "No answer for 2.0 s.", is_hung=True)
    world.remember(departures={"id-1": hung})
    probe = ProbeView(at=0.0, is_ready=False, failures=2, latency_seconds=1.0, is_timeout=True, detail="timed out")
    world.change(probe=probe)
    why = {"service": "backend", "cause": Cause.HUNG, "why": "it does not answer"}
    out = SetMembers(id="a", members=listed[1:], **why)  # type: ignore[arg-type]
    start = StartReplica(
        id="b", template_id="id-2", number=3, service="backend", cause=Cause.REPLACEMENT, why="for the hung one"
    )
    world.look(*(Outcome(action=action, is_done=True, at=0.0) for action in (out, start)))
    kill = SignalReplica(id="c", replica_id="id-1", signal="KILL", **why)  # type: ignore[arg-type]
    other = SignalReplica(id="d", replica_id="id-2", signal="TERM", **why)  # type: ignore[arg-type]
    world.look(
        Outcome(action=kill, is_done=False, at=0.0, error="the guard refused"),
        Outcome(action=other, is_done=True, at=0.0),
    )
    assert world.only.kind == "hang"
    assert world.only.probe_output == "timed out"
    assert world.texts() == [
        "No answer for 2.0 s.",
        "It gets no more requests.",
        "A replacement is started. for the hung one.",
        "It is killed. it does not answer. That failed: the guard refused.",
    ]


def test_our_own_kill_of_a_hung_replica_is_no_crash() -> None:
    world = World()
    world.look()
    world.remember(departures={"id-1": departure(Cause.HUNG, is_hung=True)})
    world.look()
    world.change(state=ContainerState.EXITED, exit_code=137)
    world.look()
    world.remember(departures={})
    world.change(state=ContainerState.RUNNING, exit_code=0, started_at=START)
    world.look(cycles=3)
    assert [record.kind for record in world.opened] == ["hang"]
    assert not any("crashed" in text for text in world.texts())


@pytest.mark.parametrize("cause", [Cause.SURPLUS, Cause.METRIC_BELOW_TARGET, Cause.ROLLOUT, Cause.OPERATOR])
def test_a_replica_that_leaves_because_it_shall_is_no_incident(cause: Cause) -> None:
    world = World(replica(1), replica(2))
    world.look()
    world.remember(departures={"id-1": departure(cause)})
    world.change(health=ReportedHealth.UNHEALTHY)
    world.look(cycles=3)
    world.change(state=ContainerState.EXITED, exit_code=137)
    world.look()
    del world.replicas[0]
    world.remember(departures={})
    world.look(cycles=3)
    assert world.opened == []


@pytest.mark.parametrize(
    ("seen", "memory", "kind"),
    [
        ({"health": ReportedHealth.UNHEALTHY, "last_probe_output": "no db"}, {}, "unhealthy"),
        ({"health": ReportedHealth.UNHEALTHY, "last_probe_output": "no db"}, {"was_ready": False}, "never_ready"),
        ({"probe": ("503: no db", False)}, {}, "unhealthy"),
        ({"probe": ("timed out", True)}, {}, "hang"),
    ],
)
def test_what_healing_does_not_touch_is_told_all_the_same(seen: Any, memory: Any, kind: str) -> None:
    if "probe" in seen:
        detail, is_timeout = seen["probe"]
        probe = ProbeView(at=0, is_ready=False, failures=3, latency_seconds=1, is_timeout=is_timeout, detail=detail)
        seen = {"probe": probe}
    world = World(replica(1), replica(2))
    world.look()
    world.change(**seen)
    world.remember(replicas={"id-1": replace(remembered(world.replicas[0]), **memory)})
    world.look(cycles=20)
    assert world.only.kind == kind
    assert world.only.probe_output in ("no db", "503: no db", "timed out")
    assert len(world.texts()) == 1  # that it goes on is no news


def test_when_all_fail_together_the_dependency_is_the_incident() -> None:
    world = World(replica(1), replica(2))
    world.look()
    text = "2 of 2 replicas fail together: postgres does not answer"
    world.reasons = (Reason(text=text, is_for=False, hold=Hold.DEPENDENCY),)
    world.replicas = [replace(view, health=ReportedHealth.UNHEALTHY) for view in world.replicas]
    world.look(cycles=3)
    assert [(record.kind, record.replica, record.title) for record in world.opened] == [("dependency", "", text + ".")]
    world.look(cycles=5)
    assert [record.kind for record in world.opened] == ["dependency", "below_min"]


def test_a_service_without_a_ready_replica_is_an_incident_after_ten_seconds() -> None:
    world = World()
    world.look()
    world.change(health=ReportedHealth.STARTING)
    world.look(cycles=5)
    assert world.opened == []
    world.look()
    assert [record.kind for record in world.opened] == ["below_min"]


@pytest.mark.parametrize("stopped", [True, False])
def test_a_service_that_was_stopped_or_never_ready_is_not_below_its_minimum(stopped: bool) -> None:
    world = World()
    if stopped:
        world.look()
        world.change(state=ContainerState.EXITED, exit_code=0)
    else:
        world.change(health=ReportedHealth.STARTING)
    world.look(cycles=30)
    assert world.opened == []


def rollout(phase: RolloutPhase, finished_at: float | None = None) -> Rollout:
    return Rollout(
        id="r1",
        service="backend",
        image="backend:2",
        image_id="2",
        previous_image="backend:1",
        previous_image_id="1",
        by="cli",
        phase=phase,
        started_at=0.0,
        phase_since=0.0,
        replicas=1,
        verdict="12 of 30 answers were errors",
        finished_at=finished_at,
    )


def test_a_rollout_that_is_taken_back_is_one_incident() -> None:
    world = World()
    world.look()
    for phase in (RolloutPhase.CANARY, RolloutPhase.ROLLING_BACK):
        world.remember(rollout=rollout(phase))
        world.look(cycles=3)
    world.remember(rollout=rollout(RolloutPhase.ROLLED_BACK, finished_at=world.at))
    world.look(cycles=60)
    assert [(r.kind, r.title) for r in world.opened] == [
        ("rollback", "backend:2 was taken back: 12 of 30 answers were errors.")
    ]
    assert world.state.open == ()


def test_an_old_rollback_is_not_told_again_after_a_restart() -> None:
    world = World()
    world.remember(rollout=rollout(RolloutPhase.ROLLED_BACK, finished_at=world.at - 60.0))
    world.look(cycles=3)
    assert world.opened == []


def test_docker_away_is_an_incident_of_the_stack_and_no_good_health_of_others() -> None:
    world = World()
    world.look()
    world.crash()
    world.look(cycles=20)
    world.is_complete = False
    world.look(cycles=3)
    assert [record.kind for record in world.opened] == ["crash"]
    world.look(cycles=20)
    assert [record.kind for record in world.opened] == ["crash", "docker"]
    assert world.opened[1].title == "Docker does not answer: timed out."
    world.is_complete = True
    world.look(cycles=20)
    assert len(world.state.open) == 2  # the minute begins anew
    world.look(cycles=12)
    assert world.state.open == ()


def test_a_list_that_nginx_does_not_take_is_an_incident() -> None:
    world = World()
    world.balancer = BalancerView(at=0.0, written=7, applied=6, problem="generation 7 was not seen after 1.0 s")
    world.look(cycles=2)
    assert [(r.service, r.kind) for r in world.opened] == [("", "balancer")]
    world.balancer = BalancerView(at=0.0, written=8, applied=8)
    world.look(cycles=32)
    assert world.state.open == ()


def test_a_replacement_with_the_same_trouble_carries_the_incident_on() -> None:
    world = World(replica(1), replica(2))
    world.look()
    world.crash()
    world.look()
    world.replicas[0] = replica(3, created_at=START + timedelta(seconds=10))
    world.look()
    world.crash()
    world.look()
    assert len(world.opened) == 1
    assert world.only.replica == "modporter-backend-3"
    assert "modporter-backend-1 is gone; modporter-backend-3 came after it." in world.texts()


def test_another_replica_that_was_there_all_the_time_has_an_incident_of_its_own() -> None:
    world = World(replica(1), replica(2))
    world.look()
    world.crash()
    world.look()
    del world.replicas[0]
    world.look()
    world.crash()
    world.look()
    assert [record.replica for record in world.opened] == ["modporter-backend-1", "modporter-backend-2"]


def test_what_is_open_goes_on_after_a_restart_of_the_supervisor() -> None:
    world = World()
    world.look()
    world.crash()
    world.look()
    world.state = incidents.resumed([world.only], next_id=8)
    world.look()
    world.crash()
    world.look()
    assert world.only.id == 1
    assert world.only.title.endswith("crashed 2 times.")


def test_a_timeline_keeps_its_beginning_and_its_end() -> None:
    world = World()
    world.look()
    for _ in range(300):
        world.crash()
        world.look()
    texts = world.texts()
    assert len(texts) == incidents.FIRST_ENTRIES + incidents.LAST_ENTRIES
    assert world.only.timeline[0].at == world.only.opened_at
    assert world.only.timeline[-1].at == START + timedelta(seconds=world.at - 1000.0)
