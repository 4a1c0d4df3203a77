"""Properties of the arbiter, for any snapshot that hypothesis thinks of, and what it learns from outcomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisor.domain.decide import NEVER_TOUCHED, decide, learn
from supervisor.domain.memory import Departure, Errand, Memory, ReplicaMemory, ServiceMemory
from supervisor.domain.plan import (
    Action,
    Cause,
    Outcome,
    Plan,
    RemoveReplica,
    SetMembers,
    SignalReplica,
    StartReplica,
    StartStopped,
)
from supervisor.domain.policy import HealPolicy, MetricKind, MetricPolicy, Policies, ScalePolicy, ServicePolicy
from supervisor.domain.snapshot import (
    BalancerView,
    ContainerState,
    LoadView,
    Member,
    ProbeView,
    ReplicaView,
    ReportedHealth,
    ServiceView,
    Snapshot,
    UsageView,
)

NOW = 5000.0
WALL = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
SCALE = ScalePolicy(is_enabled=True, min=1, max=6, metrics=(MetricPolicy(name="cpu", kind=MetricKind.CPU, target=0.6),))
BACKEND = ServicePolicy(
    service="backend", is_balanced=True, scale=SCALE, heal=HealPolicy(probe_path="/health/ready", min_ready=2)
)
POLICIES = Policies(services={"backend": BACKEND, **{n: replace(BACKEND, service=n) for n in NEVER_TOUCHED}})


@st.composite
def replicas(draw: st.DrawFn, number: int) -> ReplicaView:
    state = draw(st.sampled_from([ContainerState.RUNNING] * 5 + list(ContainerState)))
    is_running = state is ContainerState.RUNNING
    failures = draw(st.sampled_from([0, 0, 0, 1, 2, 9]))
    probe = ProbeView(
        at=NOW - draw(st.sampled_from([0.0, 1.0, 20.0])),
        is_ready=failures == 0,
        failures=failures,
        latency_seconds=0.01,
        is_timeout=draw(st.booleans()),
    )
    load = LoadView(at=NOW, connections=draw(st.integers(0, 3)), requests=draw(st.integers(0, 3)))
    usage = UsageView(
        at=NOW,
        cpu_ratio=draw(st.floats(0, 1.5)),
        memory_ratio=0.3,
        memory_bytes=10_000_000,
        cpu_seconds_total=5.0,
    )
    return ReplicaView(
        id=f"backend{number}",
        name=f"modporter-backend-{number}",
        service="backend",
        number=number,
        state=state,
        health=draw(st.sampled_from([ReportedHealth.HEALTHY] * 3 + list(ReportedHealth))),
        image="modporter/backend:modporter",
        image_id="sha256:1",
        config_hash="h",
        is_clone=draw(st.booleans()),
        started_at=WALL - timedelta(seconds=draw(st.sampled_from([1, 100, 10_000]))),
        restart_count=draw(st.integers(0, 6)),
        restart_policy=draw(st.sampled_from(["unless-stopped", "always", "no"])),
        exit_code=draw(st.sampled_from([0, 1, 137])),
        addresses={"web": f"10.0.7.{number}"} if is_running else {},
        probe=draw(st.sampled_from([probe, probe, None])) if is_running else None,
        load=draw(st.sampled_from([load, None])) if is_running else None,
        usage=usage if is_running else None,
    )


def _well(name: str) -> ReplicaView:
    return ReplicaView(
        id=name,
        name=f"modporter-{name}-1",
        service=name,
        number=1,
        state=ContainerState.RUNNING,
        health=ReportedHealth.HEALTHY,
        image=f"modporter/{name}:modporter",
        image_id="sha256:2",
        config_hash="h",
        is_clone=False,
        started_at=WALL,
        restart_policy="unless-stopped",
        addresses={"web": "10.0.9.1"},
    )


def _sick(name: str) -> ReplicaView:
    return replace(_well(name), health=ReportedHealth.UNHEALTHY)


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    count = draw(st.integers(0, 5))
    views = tuple(draw(replicas(number)) for number in range(1, count + 1))
    depends_on = draw(st.sampled_from([(), ("stranger",)]))
    services = {"backend": ServiceView(name="backend", replicas=views, depends_on=depends_on)} if views else {}
    is_ill = draw(st.booleans())
    for name in ("stranger", *sorted(NEVER_TOUCHED)):
        services[name] = ServiceView(name=name, replicas=(_sick(name) if is_ill else _well(name),))
    listed = draw(st.sets(st.integers(1, 5)))
    members = tuple(Member(replica_id=f"backend{n}", address=f"10.0.7.{n}:8000") for n in sorted(listed))
    balancer = BalancerView(at=NOW, written=3, applied=draw(st.sampled_from([3, None])), members={"backend": members})
    return Snapshot(
        at=NOW,
        wall=WALL,
        project="modporter",
        services=services,
        balancer=draw(st.sampled_from([balancer, balancer, None])),
        is_complete=draw(st.sampled_from([True] * 9 + [False])),
    )


@st.composite
def memories(draw: st.DrawFn, snapshot: Snapshot) -> Memory:
    service = snapshot.services.get("backend")
    if service is None or draw(st.booleans()):
        return Memory()
    known = {r.id: draw(_known(r)) for r in service.replicas}
    leaving = draw(st.sets(st.sampled_from([r.id for r in service.replicas]), max_size=2))
    departures = {
        id_: Departure(
            replica_id=id_,
            errand=draw(st.sampled_from(list(Errand))),
            cause=draw(st.sampled_from([Cause.HUNG, Cause.UNHEALTHY, Cause.SURPLUS, Cause.OPERATOR])),
            why="because",
            since=NOW - draw(st.sampled_from([0.0, 5.0, 100.0])),
            is_hung=draw(st.booleans()),
        )
        for id_ in leaving
    }
    memory = ServiceMemory(
        service="backend",
        desired=draw(st.sampled_from([None, 1, 2, 3, 5])),
        known_ids=frozenset(known) if draw(st.booleans()) else frozenset(),
        departures=departures,
        replicas=known,
        pending_starts=draw(st.sampled_from([{}, {"modporter-backend-9": NOW - 5}])),
        pauses=draw(st.sampled_from([{}, {}, {"all": NOW + 50}, {"in": NOW + 50}])),
    )
    return Memory(services={"backend": memory}, cycle=7)


def _known(view: ReplicaView) -> st.SearchStrategy[ReplicaMemory]:
    started = view.started_at.isoformat() if view.started_at else ""
    return st.builds(
        ReplicaMemory,
        replica_id=st.just(view.id),
        first_seen=st.sampled_from([NOW - 3, NOW - 500]),
        started_at=st.sampled_from([started, started, "2026-01-01T00:00:00+00:00"]),
        process_since=st.sampled_from([NOW - 3, NOW - 500]),
        was_ready=st.booleans(),
        was_ever_ready=st.booleans(),
        restart_count=st.integers(0, 6),
        restart_times=st.sampled_from([(), (NOW - 1,), tuple(NOW - n for n in range(6, 1, -1))]),
        failed_restarts=st.integers(0, 3),
        next_attempt_at=st.sampled_from([0.0, NOW + 10]),
        quarantined_until=st.sampled_from([None, None, NOW - 5, NOW + 100]),
    )


@st.composite
def situations(draw: st.DrawFn) -> tuple[Snapshot, Memory]:
    snapshot = draw(snapshots())
    return snapshot, draw(memories(snapshot))


TRIES = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@TRIES
@given(situations())
def test_the_same_input_gives_the_same_plan(situation: tuple[Snapshot, Memory]) -> None:
    snapshot, memory = situation
    assert decide(snapshot, memory, POLICIES, ()) == decide(snapshot, memory, POLICIES, ())


@TRIES
@given(situations())
def test_every_service_is_told_in_a_sentence_that_begins_with_its_name(situation: tuple[Snapshot, Memory]) -> None:
    snapshot, memory = situation
    verdicts = decide(snapshot, memory, POLICIES, ()).plan.verdicts
    assert set(snapshot.services) <= set(verdicts)
    for name, verdict in verdicts.items():
        assert verdict.sentence.startswith(f"{name}: ")
        assert len(verdict.sentence) > len(name) + 5


@TRIES
@given(situations())
def test_what_has_no_policy_and_what_docker_keeps_alive_is_never_touched(situation: tuple[Snapshot, Memory]) -> None:
    snapshot, memory = situation
    assert {action.service for action in decide(snapshot, memory, POLICIES, ()).plan.actions} <= {"backend"}


@TRIES
@given(situations())
def test_half_a_picture_is_no_reason_to_do_anything(situation: tuple[Snapshot, Memory]) -> None:
    snapshot, memory = situation
    decision = decide(replace(snapshot, is_complete=False), memory, POLICIES, ())
    assert decision.plan.is_empty
    assert decision.memory == memory


@TRIES
@given(situations())
def test_ready_replicas_are_not_sent_away_below_the_disruption_budget(situation: tuple[Snapshot, Memory]) -> None:
    """Whoever was on the way already stays on it; those that this cycle sends leave enough behind."""
    snapshot, memory = situation
    before = memory.of("backend").departures
    decision = decide(snapshot, memory, POLICIES, ())
    after = decision.memory.of("backend")
    ready = {id_ for id_, known in after.replicas.items() if known.ready_since is not None}
    sent = {
        id_
        for id_, departure in after.departures.items()
        if id_ not in before and id_ in ready and departure.cause is not Cause.PROJECT_DOWN
    }
    if sent:
        assert len(ready - set(after.departures)) >= BACKEND.heal.min_ready


@TRIES
@given(situations())
def test_only_what_has_exited_is_removed_or_started_and_only_what_runs_is_signalled(
    situation: tuple[Snapshot, Memory],
) -> None:
    snapshot, memory = situation
    views = {r.id: r for service in snapshot.services.values() for r in service.replicas}
    ended = {ContainerState.EXITED, ContainerState.DEAD, ContainerState.CREATED}
    for action in decide(snapshot, memory, POLICIES, ()).plan.actions:
        match action:
            case RemoveReplica() | StartStopped():
                assert views[action.replica_id].state in ended
            case SignalReplica():
                assert views[action.replica_id].state not in ended


@TRIES
@given(situations())
def test_numbers_are_new_and_templates_exist_and_the_last_container_is_kept(
    situation: tuple[Snapshot, Memory],
) -> None:
    snapshot, memory = situation
    decision = decide(snapshot, memory, POLICIES, ())
    service = snapshot.services.get("backend")
    starts = [a for a in decision.plan.actions if isinstance(a, StartReplica)]
    numbers = [a.number for a in starts]
    if service is None:
        assert not starts
        return
    assert len(set(numbers)) == len(numbers)
    assert not set(numbers) & {r.number for r in service.replicas}
    assert {a.template_id for a in starts} <= {r.id for r in service.replicas}
    removals = [a for a in decision.plan.actions if isinstance(a, RemoveReplica)]
    if len(removals) == len(service.replicas):
        assert all(a.cause in (Cause.PROJECT_DOWN, Cause.SURPLUS) for a in removals)


@TRIES
@given(situations())
def test_a_list_is_emptied_only_when_nothing_of_it_runs(situation: tuple[Snapshot, Memory]) -> None:
    snapshot, memory = situation
    decision = decide(snapshot, memory, POLICIES, ())
    for action in decision.plan.actions:
        if isinstance(action, SetMembers) and not action.members:
            assert snapshot.balancer is not None
            listed = {m.replica_id for m in snapshot.balancer.members.get("backend", ())}
            leaving = set(decision.memory.of("backend").departures)
            running = (
                {r.id for r in snapshot.services["backend"].replicas if r.state is ContainerState.RUNNING}
                if "backend" in snapshot.services
                else set()
            )
            assert not (listed & running) - leaving


@TRIES
@given(situations())
def test_on_the_world_that_its_plan_made_it_has_nothing_more_to_do(situation: tuple[Snapshot, Memory]) -> None:
    snapshot, memory = situation
    first = decide(snapshot, memory, POLICIES, ())
    outcomes = tuple(Outcome(action=a, is_done=True, at=NOW) for a in first.plan.actions)
    after = _applied(snapshot, first.plan)
    second = decide(after, learn(first.memory, outcomes), POLICIES, ())
    # What has just been signalled, started or removed is under way: only a list that follows is allowed.
    again = [a for a in second.plan.actions if not isinstance(a, SetMembers)]
    repeated = {(type(a), _target(a)) for a in again} & {(type(a), _target(a)) for a in first.plan.actions}
    assert not repeated
    third = decide(_applied(after, second.plan), second.memory, POLICIES, ())
    assert [a for a in third.plan.actions if isinstance(a, SetMembers)] == []


def _target(action: Action) -> str:
    return getattr(action, "replica_id", "") or str(getattr(action, "number", ""))


def _applied(snapshot: Snapshot, plan: Plan) -> Snapshot:
    """The world right after a plan: lists in force, clones running, what was removed gone; processes not ended yet."""
    services: dict[str, ServiceView] = dict(snapshot.services)
    members: Mapping[str, tuple[Member, ...]] = dict(snapshot.balancer.members) if snapshot.balancer else {}
    for action in plan.actions:
        service = services[action.service] if action.service in services else ServiceView(name="x", replicas=())
        match action:
            case SetMembers():
                members = {**members, action.service: action.members}
            case StartReplica():
                template = next(r for r in service.replicas if r.id == action.template_id)
                clone = replace(
                    template,
                    id=f"clone{action.number}",
                    name=f"modporter-{action.service}-{action.number}",
                    number=action.number,
                    is_clone=True,
                    state=ContainerState.RUNNING,
                    health=ReportedHealth.STARTING,
                    started_at=WALL,
                    restart_count=0,
                    probe=None,
                    load=None,
                )
                services[action.service] = replace(service, replicas=(*service.replicas, clone))
            case RemoveReplica():
                rest = tuple(r for r in service.replicas if r.id != action.replica_id)
                services[action.service] = replace(service, replicas=rest)
            case StartStopped():
                started = tuple(
                    replace(
                        r, state=ContainerState.RUNNING, started_at=WALL, health=ReportedHealth.STARTING, probe=None
                    )
                    if r.id == action.replica_id
                    else r
                    for r in service.replicas
                )
                services[action.service] = replace(service, replicas=started)
    balancer = replace(snapshot.balancer, members=members) if snapshot.balancer else None
    return replace(snapshot, services=services, balancer=balancer)


def _one_departure() -> Memory:
    departure = Departure(replica_id="r", errand=Errand.REMOVE, cause=Cause.SURPLUS, why="", since=1.0)
    known = ReplicaMemory(replica_id="r", first_seen=1.0)
    service = ServiceMemory(
        service="backend",
        departures={"r": departure},
        replicas={"r": known},
        pending_starts={"modporter-backend-4": 100.0, "modporter-backend-14": 100.0},
    )
    return Memory(services={"backend": service})


@pytest.mark.parametrize(("signal", "field"), [("TERM", "signalled_at"), ("KILL", "killed_at")])
def test_a_signal_that_was_sent_is_remembered_and_one_that_failed_is_not(signal: str, field: str) -> None:
    action = SignalReplica(id="1", service="backend", cause=Cause.SURPLUS, why="", replica_id="r", signal=signal)
    done = learn(_one_departure(), (Outcome(action=action, is_done=True, at=110.0),)).of("backend")
    assert getattr(done.departures["r"], field) == 110.0
    assert done.replicas["r"].is_own_stop
    failed = learn(_one_departure(), (Outcome(action=action, is_done=False, at=110.0, error="away"),))
    assert failed == _one_departure()


def test_a_start_that_failed_is_tried_again_after_ten_seconds_and_not_before() -> None:
    action = StartReplica(id="1", service="backend", cause=Cause.REPLACEMENT, why="", template_id="r", number=4)
    service = learn(_one_departure(), (Outcome(action=action, is_done=False, at=100.0, error="no"),)).of("backend")
    assert service.pending_starts == {"modporter-backend-4": 50.0, "modporter-backend-14": 100.0}


def test_outcomes_of_services_that_are_unknown_do_no_harm() -> None:
    action = SignalReplica(id="1", service="gone", cause=Cause.SURPLUS, why="", replica_id="r", signal="TERM")
    assert learn(Memory(), (Outcome(action=action, is_done=True, at=1.0),)) == Memory()
