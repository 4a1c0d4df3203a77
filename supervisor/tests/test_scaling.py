"""Scaling decisions, one cycle at a time: what each rule of the policy makes of the same service."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.domain.memory import LoadSample, Recommendation, ReplicaMemory, ServiceMemory
from supervisor.domain.plan import Cause, Hold
from supervisor.domain.policy import (
    Fallback,
    MetricKind,
    MetricPolicy,
    MetricScope,
    ScalePolicy,
    SchedulePolicy,
    ServicePolicy,
)
from supervisor.domain.scaling import ScaleRecommendation, recommend
from supervisor.domain.snapshot import (
    ContainerState,
    HostView,
    MetricReading,
    ReplicaView,
    ReportedHealth,
    ServiceView,
    Snapshot,
    UsageView,
)

NOW = 1000.0
MONDAY_NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
CPU = MetricPolicy(name="cpu", kind=MetricKind.CPU, target=0.5)
P95 = MetricPolicy(name="p95", kind=MetricKind.PROMQL, target=0.4, query="p95")
QUEUE = MetricPolicy(name="queue", kind=MetricKind.PROMQL, target=10.0, query="queue", scope=MetricScope.TOTAL)
GIB = 1024**3


def replica(number: int, *, cpu: float | None = 0.5, age: float = 0.0) -> ReplicaView:
    usage = UsageView(
        at=NOW - age,
        cpu_ratio=cpu,
        memory_ratio=0.3,
        memory_bytes=GIB // 4,
        cpu_seconds_total=1.0,
        cpu_cores=cpu,
    )
    return ReplicaView(
        id=f"id{number}",
        name=f"p-web-{number}",
        service="web",
        number=number,
        state=ContainerState.RUNNING,
        health=ReportedHealth.HEALTHY,
        image="web",
        image_id="sha256:1",
        config_hash="",
        is_clone=False,
        usage=usage,
    )


def watched(replicas: int, *, wish: int | None = None, seconds: float = 400.0) -> ServiceMemory:
    """The memory of a service that has been watched at `replicas`, wishing for `wish`, for the last `seconds`."""
    times = [NOW - 2.0 * step for step in range(int(seconds / 2), 0, -1)]
    wishes = tuple(Recommendation(at=at, replicas=replicas if wish is None else wish) for at in times)
    return ServiceMemory(service="web", desired=replicas, recommendations=wishes)


def decided(
    *,
    cpu: float | None = 0.5,
    ready: int = 4,
    starting: int = 0,
    metrics: tuple[MetricPolicy, ...] = (CPU,),
    readings: dict[str, MetricReading] | None = None,
    memory: ServiceMemory | None = None,
    host: HostView | None = None,
    wall: datetime = MONDAY_NOON,
    replicas: tuple[ReplicaView, ...] | None = None,
    **scale: object,
) -> ScaleRecommendation:
    keys: dict[str, object] = {"is_enabled": True, "min": 1, "max": 20, "metrics": metrics, **scale}
    service = ServiceView(name="web", replicas=replicas or tuple(replica(n, cpu=cpu) for n in range(1, ready + 1)))
    snapshot = Snapshot(
        at=NOW,
        wall=wall,
        project="p",
        services={"web": service},
        metrics={("web", name): reading for name, reading in (readings or {}).items()},
        host=host,
    )
    policy = ServicePolicy(service="web", scale=ScalePolicy(**keys))  # type: ignore[arg-type]
    memory = memory or watched(ready + starting)
    known = {view.id: was_ready(view, since=0.0) for view in service.replicas[:ready]}
    memory = replace(memory, replicas={**known, **memory.replicas})
    return recommend(service, memory, policy, ready, starting, snapshot)


def was_ready(view: ReplicaView, *, since: float) -> ReplicaMemory:
    return ReplicaMemory(replica_id=view.id, first_seen=0.0, ready_since=since)


def holds(verdict: ScaleRecommendation) -> set[Hold]:
    return {reason.hold for reason in verdict.reasons if reason.hold is not None}


@pytest.mark.parametrize(
    ("cpu", "ready", "desired"),
    [
        (0.5, 4, 4),  # at target
        (0.54, 4, 4),  # +8 %, within the tolerance
        (0.46, 4, 4),  # -8 %
        (0.55, 4, 4),  # 4.4 is just within it, whatever 4 * 0.55 / 0.5 / 4 is in binary
        (0.45, 10, 10),
        (0.56, 4, 5),  # 4.48
        (0.6, 1, 2),
        (0.75, 4, 6),
        (1.0, 4, 8),
        (0.1, 1, 1),  # never below one while it answers
    ],
)
def test_per_replica_metric_asks_for_the_ceiling(cpu: float, ready: int, desired: int) -> None:
    assert decided(cpu=cpu, ready=ready).desired == desired


@pytest.mark.parametrize(("queue", "desired"), [(0.0, 4), (41.0, 4), (47.0, 5), (60.0, 6), (61.0, 7)])
def test_total_metric_does_not_multiply_by_the_replicas(queue: float, desired: int) -> None:
    verdict = decided(
        metrics=(QUEUE,),
        readings={"queue": MetricReading(at=NOW, value=queue)},
        stabilisation_seconds=0,
        down_replicas=0,
        down_ratio=0.0,
    )
    assert verdict.desired == desired


def test_largest_valid_metric_wins() -> None:
    verdict = decided(cpu=0.3, metrics=(CPU, P95), readings={"p95": MetricReading(at=NOW, value=0.6)})
    assert verdict.desired == 6
    assert verdict.cause is Cause.METRIC_ABOVE_TARGET
    assert "p95 is 0.6 against a target of 0.4" in verdict.why
    assert [reason.inputs["metric"] for reason in verdict.reasons] == ["cpu", "p95"]
    assert [reason.is_for for reason in verdict.reasons] == [False, True]
    assert verdict.reasons[1].inputs == {
        "metric": "p95", "value": 0.6, "target": 0.4, "asked": 6, "base": 4, "ready": 4,
    }  # fmt: skip


def test_what_is_starting_is_not_asked_for_again() -> None:
    verdict = decided(cpu=1.0, ready=2, starting=2, memory=watched(4))
    assert verdict.desired == 4
    verdict = decided(cpu=1.25, ready=2, starting=2, memory=watched(4))
    assert verdict.desired == 5


def test_starting_replicas_are_not_in_the_average() -> None:
    views = (replica(1, cpu=0.5), replica(2, cpu=0.5), replica(3, cpu=0.0))
    verdict = decided(replicas=views, ready=2, starting=1, memory=watched(2))
    assert verdict.reasons[0].inputs["value"] == 0.5


def test_a_value_counts_only_for_replicas_that_were_ready_when_it_was_measured() -> None:
    """Two busy replicas became four a moment ago: their old value times four would double the service again."""
    fresh = {view.id: was_ready(view, since=NOW - 1) for view in (replica(3), replica(4))}
    memory = replace(watched(4), replicas=fresh)
    readings = {"p95": MetricReading(at=NOW, value=0.8)}
    assert decided(cpu=1.0, memory=memory).desired == 4
    assert decided(metrics=(replace(P95, window_seconds=30.0),), readings=readings, memory=memory).desired == 4
    assert decided(metrics=(replace(P95, window_seconds=0.5),), readings=readings, memory=memory).desired == 8


@pytest.mark.parametrize(
    ("ups", "ready", "cpu", "desired"),
    [
        ((), 4, 2.0, 8),  # +100 %
        ((), 1, 3.0, 3),  # +2 is more than +100 %
        (((NOW - 5, 2),), 4, 1.0, 4),  # from 2 to 4 within this period: that was +100 %
        (((NOW - 16, 2),), 4, 1.0, 8),  # the period is over
        (((NOW - 5, 1),), 4, 2.0, 6),  # 3 + 3
    ],
)
def test_up_at_once_within_the_step(ups: tuple[tuple[float, int], ...], ready: int, cpu: float, desired: int) -> None:
    memory = replace(watched(ready), ups=tuple(Recommendation(at=at, replicas=n) for at, n in ups))
    verdict = decided(cpu=cpu, ready=ready, memory=memory)
    assert verdict.desired == desired
    assert (Hold.RATE_LIMIT in holds(verdict)) == (desired < math.ceil(ready * cpu / 0.5))


def test_panic_jumps_over_the_step_and_forbids_down() -> None:
    load = tuple(LoadSample(at=NOW - age, replicas=9.0) for age in (7, 4, 2))
    memory = replace(watched(3), load=load, ups=(Recommendation(at=NOW - 4, replicas=2),))
    verdict = decided(cpu=1.6, ready=3, memory=memory)
    assert verdict.desired == 10  # the mean of 9, 9 and 9.6
    assert verdict.cause is Cause.PANIC
    assert verdict.memory.panic_until == NOW + 60
    later = decided(cpu=0.1, memory=replace(watched(4, wish=1), panic_until=NOW + 30))
    assert later.desired == 4
    assert Hold.PANIC in holds(later)


def test_a_panic_asks_for_no_replica_more_because_of_binary_fractions() -> None:
    load = tuple(LoadSample(at=NOW - age, replicas=7.000000000000001) for age in (7, 4, 2))
    busy = replace(CPU, target=0.6)  # 1 * 4.2 / 0.6 is a little more than 7
    verdict = decided(cpu=4.2, ready=1, metrics=(busy,), memory=replace(watched(1), load=load))
    assert verdict.cause is Cause.PANIC
    assert verdict.desired == 7


def test_one_spike_is_no_panic() -> None:
    load = tuple(LoadSample(at=NOW - age, replicas=3.0) for age in (7, 4, 2))
    verdict = decided(cpu=1.5, ready=3, memory=replace(watched(3), load=load))
    assert verdict.memory.panic_until is None
    assert verdict.desired == 6


def test_panic_needs_the_whole_window() -> None:
    verdict = decided(cpu=2.0, ready=3, memory=replace(watched(3), load=(LoadSample(at=NOW - 2, replicas=12.0),)))
    assert verdict.memory.panic_until is None


@pytest.mark.parametrize(
    ("memory", "desired", "hold"),
    [
        (watched(8, wish=2), 6, Hold.RATE_LIMIT),  # a quarter
        (watched(8, wish=7), 7, Hold.STABILISING),
        (watched(8, wish=8), 8, Hold.STABILISING),
        (watched(8, wish=2, seconds=100), 8, Hold.STABILISING),  # not watched for long enough
        (ServiceMemory(service="web", desired=8), 8, Hold.STABILISING),  # just restarted
        (replace(watched(8, wish=2), downs=(Recommendation(at=NOW - 10, replicas=2),)), 8, Hold.RATE_LIMIT),
        (replace(watched(8, wish=2), downs=(Recommendation(at=NOW - 31, replicas=2),)), 6, Hold.RATE_LIMIT),
        (replace(watched(8, wish=2), pauses={"in": NOW + 10}), 8, Hold.PAUSED),
        (replace(watched(8, wish=2), pauses={"all": NOW + 10}), 8, Hold.PAUSED),
        (replace(watched(8, wish=2), pauses={"out": NOW + 10, "in": NOW - 1}), 6, Hold.RATE_LIMIT),
    ],
)
def test_down_slowly(memory: ServiceMemory, desired: int, hold: Hold) -> None:
    verdict = decided(cpu=0.1, ready=8, memory=memory)
    assert verdict.desired == desired
    assert hold in holds(verdict)


def test_a_gap_in_the_memory_begins_the_window_anew() -> None:
    memory = watched(8, wish=2)
    memory = replace(memory, recommendations=tuple(w for w in memory.recommendations if not 60 < NOW - w.at < 100))
    assert decided(cpu=0.1, ready=8, memory=memory).desired == 8


def test_down_one_when_a_quarter_is_less() -> None:
    verdict = decided(cpu=0.1, ready=3, memory=watched(3, wish=1))
    assert verdict.desired == 2
    assert verdict.cause is Cause.METRIC_BELOW_TARGET
    assert verdict.memory.downs == (Recommendation(at=NOW, replicas=1),)


@pytest.mark.parametrize(
    "reading",
    [
        None,
        MetricReading(at=NOW, value=None, problem="no answer"),
        MetricReading(at=NOW, value=math.nan),
        MetricReading(at=NOW, value=math.inf),
        MetricReading(at=NOW - 31, value=0.1),
    ],
)
def test_one_invalid_metric_forbids_down_but_not_up(reading: MetricReading | None) -> None:
    readings = {} if reading is None else {"p95": reading}
    down = decided(cpu=0.1, metrics=(CPU, P95), readings=readings, memory=watched(4, wish=1))
    assert down.desired == 4
    assert Hold.NO_DATA in holds(down)
    assert down.memory.recommendations[-1].replicas == 4  # so its return alone will take nothing away
    assert decided(cpu=0.8, metrics=(CPU, P95), readings=readings).desired == 7
    ignoring = replace(P95, fallback=Fallback.IGNORE)
    assert decided(cpu=0.1, metrics=(CPU, ignoring), readings=readings, memory=watched(4, wish=1)).desired == 3


@pytest.mark.parametrize(
    ("metric", "age", "is_valid"),
    [
        (replace(P95, max_age_seconds=30, interval_seconds=5), 14, True),
        (replace(P95, max_age_seconds=30, interval_seconds=5), 16, False),  # three intervals
        (replace(P95, max_age_seconds=10, interval_seconds=5), 12, False),  # its own limit
    ],
)
def test_old_values_are_invalid_not_zero(metric: MetricPolicy, age: float, is_valid: bool) -> None:
    verdict = decided(metrics=(metric,), readings={"p95": MetricReading(at=NOW - age, value=0.8)})
    assert verdict.desired == (8 if is_valid else 4)
    assert (Hold.NO_DATA in holds(verdict)) != is_valid


def test_all_invalid_holds() -> None:
    memory = watched(4, wish=1)
    verdict = decided(metrics=(P95, replace(QUEUE, fallback=Fallback.IGNORE)), memory=memory)
    assert verdict.desired == 4
    assert verdict.memory.recommendations[-1] == Recommendation(at=NOW, replicas=4)
    assert verdict.why.startswith("stays at 4: p95 says nothing")


def test_a_replica_without_a_value_forbids_down_and_lets_up() -> None:
    low = (replica(1, cpu=0.1), replica(2, cpu=None), replica(3, cpu=0.1, age=40))
    assert decided(replicas=low, ready=3, memory=watched(3, wish=1)).desired == 3
    high = (replica(1, cpu=1.0), replica(2, cpu=None), replica(3, cpu=1.0))
    assert decided(replicas=high, ready=3).desired == 6


def test_nobody_ready_holds() -> None:
    verdict = decided(replicas=(replica(1),), ready=0, starting=1, memory=watched(4, wish=1))
    assert verdict.desired == 4
    assert Hold.NO_DATA in holds(verdict)


def test_memory_metric() -> None:
    verdict = decided(metrics=(MetricPolicy(name="memory", kind=MetricKind.MEMORY, target=0.2),))
    assert verdict.desired == 6


PEAK = SchedulePolicy(name="peak", days=frozenset({0}), start=time(12), end=time(14), min=7)
NIGHT = SchedulePolicy(name="night", days=frozenset({6}), start=time(22), end=time(6), min=6)


@pytest.mark.parametrize(
    ("wall", "schedule", "desired"),
    [
        (MONDAY_NOON, PEAK, 7),
        (MONDAY_NOON.replace(hour=14), PEAK, 4),
        (MONDAY_NOON.replace(day=3), PEAK, 4),
        (MONDAY_NOON, replace(PEAK, timezone="Asia/Tokyo"), 4),  # 21:00 there
        (MONDAY_NOON.replace(hour=3), replace(PEAK, timezone="Asia/Tokyo"), 7),
        (MONDAY_NOON.replace(hour=5), NIGHT, 6),  # of Sunday's night
        (MONDAY_NOON.replace(hour=23), NIGHT, 4),
        (MONDAY_NOON.replace(day=1, hour=22), NIGHT, 6),
        (MONDAY_NOON, replace(PEAK, start=time(0), end=time(0)), 7),  # the whole day
    ],
)
def test_schedule_is_a_floor(wall: datetime, schedule: SchedulePolicy, desired: int) -> None:
    verdict = decided(wall=wall, schedules=(schedule,), memory=watched(4))
    assert verdict.desired == desired
    assert (verdict.cause is Cause.SCHEDULE) == (desired > 4)


def test_schedule_keeps_from_going_down() -> None:
    verdict = decided(cpu=0.1, schedules=(replace(PEAK, min=4),), memory=watched(4, wish=1))
    assert verdict.desired == 4
    assert verdict.why == "stays at 4: the schedule peak asks for at least 4"


def test_manual_hold_keeps_the_number_then_the_policy_goes_on() -> None:
    held = replace(watched(5, wish=1), manual_hold_until=NOW + 60, manual_replicas=5)
    verdict = decided(cpu=0.1, ready=5, memory=held)
    assert verdict.desired == 5
    assert verdict.cause is Cause.OPERATOR
    assert Hold.MANUAL_HOLD in holds(verdict)
    assert decided(cpu=2.0, ready=5, memory=held).desired == 5
    over = decided(cpu=0.1, ready=5, memory=replace(held, manual_hold_until=NOW))
    assert over.desired == 4
    assert over.memory.manual_hold_until is None
    assert over.memory.manual_replicas is None


def test_pause_out_forbids_up() -> None:
    verdict = decided(cpu=1.0, memory=replace(watched(4), pauses={"out": math.inf}))
    assert verdict.desired == 4
    assert verdict.why == "stays at 4: an operator paused scaling up until resumed"
    assert not verdict.memory.ups  # nothing changed, so no cooldown begins


@pytest.mark.parametrize(
    ("host", "desired"),
    [
        (HostView(at=NOW, cpus=8, cpu_ratio=0.1, memory_bytes=16 * GIB, memory_available_bytes=12 * GIB), 8),
        (HostView(at=NOW, cpus=8, cpu_ratio=0.9, memory_bytes=16 * GIB, memory_available_bytes=12 * GIB), 4),
        (HostView(at=NOW, cpus=8, cpu_ratio=0.6, memory_bytes=16 * GIB, memory_available_bytes=12 * GIB), 6),
        (HostView(at=NOW, cpus=8, cpu_ratio=0.1, memory_bytes=5 * GIB, memory_available_bytes=2 * GIB), 8),
        (HostView(at=NOW, cpus=8, cpu_ratio=0.1, memory_bytes=5 * GIB, memory_available_bytes=3 * GIB // 2), 6),
        (HostView(at=NOW, cpus=8, cpu_ratio=None, memory_bytes=5 * GIB, memory_available_bytes=GIB), 4),
        (HostView(at=NOW - 60, cpus=8, cpu_ratio=0.9, memory_bytes=5 * GIB, memory_available_bytes=GIB), 8),
    ],
)
def test_never_more_than_the_host_has(host: HostView, desired: int) -> None:
    verdict = decided(cpu=1.0, host=host)
    assert verdict.desired == desired
    assert (Hold.HOST_SATURATED in holds(verdict)) == (desired < 8)


def test_a_full_host_takes_nothing_away() -> None:
    full = HostView(at=NOW, cpus=8, cpu_ratio=1.0, memory_bytes=GIB, memory_available_bytes=0)
    assert decided(cpu=0.5, host=full).desired == 4


@pytest.mark.parametrize(
    ("cpu", "lowest", "highest", "desired", "cause", "hold"),
    [
        (2.0, 1, 6, 6, Cause.METRIC_ABOVE_TARGET, Hold.AT_MAX),
        (2.0, 1, 4, 4, Cause.METRIC_ABOVE_TARGET, Hold.AT_MAX),
        (0.1, 4, 6, 4, Cause.METRIC_BELOW_TARGET, Hold.AT_MIN),
        (0.5, 6, 9, 6, Cause.BELOW_MIN, None),
        (0.5, 1, 2, 2, Cause.ABOVE_MAX, None),
    ],
)
def test_min_and_max_last(cpu: float, lowest: int, highest: int, desired: int, cause: Cause, hold: Hold | None) -> None:
    verdict = decided(cpu=cpu, min=lowest, max=highest, memory=watched(4, wish=1))
    assert (verdict.desired, verdict.cause) == (desired, cause)
    assert hold is None or hold in holds(verdict)


def test_without_metrics_only_the_minimum_is_asked_for() -> None:
    verdict = decided(metrics=(), memory=watched(4, wish=1))
    assert verdict.desired == 3


def test_disabled_scaling_leaves_the_number_alone() -> None:
    verdict = decided(cpu=2.0, is_enabled=False, max=1)
    assert verdict.desired == 4
    assert holds(verdict) == {Hold.DISABLED}
    by_hand = replace(watched(4), manual_replicas=6, manual_hold_until=NOW + 9)
    assert decided(is_enabled=False, memory=by_hand).desired == 6


def test_unknown_number_is_what_runs() -> None:
    assert decided(ready=3, starting=1, cpu=0.66, memory=ServiceMemory(service="web")).desired == 4


numbers = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True), st.floats(0, 5))
wishes = st.lists(st.tuples(st.floats(0, 2000), st.integers(0, 30)), max_size=20)


@st.composite
def situations(draw: st.DrawFn) -> dict[str, object]:
    """Anything that may happen to a service, sensible or not."""
    lowest = draw(st.integers(0, 6))
    ready = draw(st.integers(0, 10))
    history = tuple(Recommendation(at=at, replicas=n) for at, n in sorted(draw(wishes)))
    is_held = draw(st.booleans())
    memory = ServiceMemory(
        service="web",
        desired=draw(st.one_of(st.none(), st.integers(0, 30))),
        recommendations=history,
        load=tuple(LoadSample(at=wish.at, replicas=float(wish.replicas)) for wish in history if wish.at < NOW),
        ups=history[:2],
        downs=history[2:4],
        panic_until=draw(st.one_of(st.none(), st.floats(0, 2000))),
        manual_replicas=draw(st.integers(0, 12)) if is_held else None,
        manual_hold_until=NOW + draw(st.floats(-10, 10)) if is_held else None,
        pauses=draw(st.dictionaries(st.sampled_from(["in", "out", "all"]), st.floats(900, 1100))),
    )
    return {
        "cpu": draw(numbers),
        "ready": ready,
        "starting": draw(st.integers(0, 4)),
        "metrics": (CPU, P95, QUEUE),
        "readings": {
            name: MetricReading(at=NOW - draw(st.floats(0, 60)), value=draw(numbers)) for name in ("p95", "queue")
        },
        "memory": memory,
        "min": lowest,
        "max": lowest + draw(st.integers(0, 8)),
        "replicas": tuple(replica(n, cpu=draw(numbers), age=draw(st.floats(0, 60))) for n in range(1, ready + 2)),
    }


@given(situations())
def test_same_input_same_number_within_bounds(situation: dict[str, object]) -> None:
    first = decided(**situation)  # type: ignore[arg-type]
    assert decided(**situation) == first  # type: ignore[arg-type]
    assert situation["min"] <= first.desired <= situation["max"]  # type: ignore[operator]
    assert first.reasons
    memory: ServiceMemory = situation["memory"]  # type: ignore[assignment]
    if memory.manual_hold_until is not None and memory.manual_hold_until > NOW:
        held = memory.manual_replicas or 0
        assert first.desired == min(max(held, situation["min"]), situation["max"])  # type: ignore[call-overload]


@given(situations(), st.sampled_from(["p95", "queue"]))
def test_never_down_on_missing_data(situation: dict[str, object], missing: str) -> None:
    readings: dict[str, MetricReading] = {**situation["readings"]}  # type: ignore[dict-item]
    del readings[missing]
    memory: ServiceMemory = situation["memory"]  # type: ignore[assignment]
    memory = replace(memory, manual_hold_until=None)
    verdict = decided(**{**situation, "readings": readings, "memory": memory})  # type: ignore[arg-type]
    base = memory.desired
    if base is None:
        base = situation["ready"] + situation["starting"]  # type: ignore[operator]
    assert verdict.desired >= min(base, situation["max"])  # type: ignore[call-overload]


@given(situations())
def test_what_it_recommends_needs_no_second_step(situation: dict[str, object]) -> None:
    """Asked again in the same moment, with its own memory, it stays."""
    first = decided(**situation)  # type: ignore[arg-type]
    again = decided(**{**situation, "memory": first.memory})  # type: ignore[arg-type]
    assert again.desired == first.desired
