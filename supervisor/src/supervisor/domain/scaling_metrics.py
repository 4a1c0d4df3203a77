"""Judges each metric of a policy: what it asks for, or why it says nothing. Called by scaling.recommend.

A value counts for the replicas that it was measured over. A replica that became ready within the value's window is not
in it yet: counted at once, an old value of few busy replicas would be multiplied by the new number, and scale twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from supervisor.domain.memory import ServiceMemory
from supervisor.domain.plan import Cause, Hold, Reason
from supervisor.domain.policy import Fallback, MetricKind, MetricPolicy, MetricScope, ScalePolicy
from supervisor.domain.snapshot import ContainerState, ReplicaView, ServiceView, Snapshot, UsageView

_MISSED_INTERVALS = 3
_ROUNDING = 1e-9  # 3 * 0.6 / 0.6 must ask for 3 replicas, not for 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """A service at the moment of a decision. `base`: the number wanted so far, with what is still starting."""

    service: ServiceView
    memory: ServiceMemory
    scale: ScalePolicy
    snapshot: Snapshot
    ready: int
    starting: int
    base: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricVerdict:
    """What a metric asks for. load: in replicas at target; both None when the metric is invalid.

    is_partial: some replicas said nothing, so it may ask for more but not vouch for less.
    """

    metric: MetricPolicy
    reason: Reason
    load: float | None = None
    replicas: int | None = None
    is_partial: bool = False

    @property
    def is_valid(self) -> bool:
        return self.replicas is not None

    @property
    def forbids_down(self) -> bool:
        return self.metric.fallback is Fallback.HOLD and (self.is_partial or not self.is_valid)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """A value and over how many ready replicas it holds; or no value, and the problem."""

    value: float | None = None
    replicas: int = 0
    problem: str = ""
    is_partial: bool = False


def judge(metric: MetricPolicy, fleet: Fleet) -> MetricVerdict:
    """What `metric` asks for, with its numbers. Never raises: what cannot be used is an invalid verdict."""
    measured = _from_promql(metric, fleet) if metric.kind is MetricKind.PROMQL else _from_usage(metric, fleet)
    if measured.value is None:
        return MetricVerdict(metric=metric, reason=_no_data(metric, measured.problem))
    replicas = measured.replicas if metric.scope is MetricScope.PER_REPLICA else 1
    load = max(0.0, replicas * measured.value / metric.target)
    if not math.isfinite(load):
        return MetricVerdict(metric=metric, reason=_no_data(metric, "its value is out of range"))
    tolerated = fleet.base > 0 and abs(load / fleet.base - 1.0) <= fleet.scale.tolerance_ratio + _ROUNDING
    asked = fleet.base if tolerated else whole(load)
    reason = _asks(metric, measured, fleet.base, asked, is_tolerated=tolerated and load != fleet.base)
    return MetricVerdict(metric=metric, reason=reason, load=load, replicas=asked, is_partial=measured.is_partial)


def whole(load: float) -> int:
    """How many replicas a load (in replicas at target) takes."""
    return math.ceil(load - _ROUNDING)


def is_serving(replica: ReplicaView, memory: ServiceMemory) -> bool:
    """Whether it counts as capacity: it runs, is ready by this cycle's memory, and is not on its way out."""
    known = memory.replicas.get(replica.id)
    is_ready = known is not None and known.ready_since is not None
    return is_ready and replica.state is ContainerState.RUNNING and replica.id not in memory.departures


def fresh_usages(replicas: Iterable[ReplicaView], now: float, max_age_seconds: float) -> list[UsageView]:
    """The usages that are young enough."""
    usages = (replica.usage for replica in replicas)
    return [usage for usage in usages if usage is not None and 0 <= now - usage.at <= max_age_seconds]


def age_limit_seconds(metric: MetricPolicy) -> float:
    return min(metric.max_age_seconds, _MISSED_INTERVALS * metric.interval_seconds)


def _from_usage(metric: MetricPolicy, fleet: Fleet) -> _Measured:
    serving = [replica for replica in fleet.service.replicas if is_serving(replica, fleet.memory)]
    if not serving or fleet.ready == 0:
        return _Measured(problem="no replica is ready")
    now = fleet.snapshot.at
    settled = _settled(serving, fleet.memory, now - metric.window_seconds) or serving
    fresh = fresh_usages(settled, now, age_limit_seconds(metric))
    is_cpu = metric.kind is MetricKind.CPU
    ratios = [usage.cpu_ratio if is_cpu else usage.memory_ratio for usage in fresh]
    values = [ratio for ratio in ratios if ratio is not None and math.isfinite(ratio) and ratio >= 0]
    if not values:
        return _Measured(problem=f"none of {len(settled)} ready replicas has a recent value")
    return _Measured(
        value=sum(values) / len(values),
        replicas=min(len(settled), fleet.ready),
        is_partial=len(values) < len(settled),
    )


def _from_promql(metric: MetricPolicy, fleet: Fleet) -> _Measured:
    reading = fleet.snapshot.metrics.get((fleet.service.name, metric.name))
    if reading is None:
        return _Measured(problem="it was not asked for, or the answer did not come")
    if reading.value is None:
        return _Measured(problem=reading.problem or "there is no value")
    if math.isnan(reading.value):
        return _Measured(problem="the value is not a number")
    age = fleet.snapshot.at - reading.at
    if age > age_limit_seconds(metric):
        return _Measured(problem=f"its last value is {age:.0f} s old")
    if metric.scope is MetricScope.TOTAL:
        return _Measured(value=reading.value)
    if fleet.ready == 0:
        return _Measured(problem="no replica is ready")
    serving = [replica for replica in fleet.service.replicas if is_serving(replica, fleet.memory)]
    settled = _settled(serving, fleet.memory, reading.at - metric.window_seconds)
    return _Measured(value=reading.value, replicas=min(len(settled), fleet.ready) or fleet.ready)


def _settled(replicas: Iterable[ReplicaView], memory: ServiceMemory, since: float) -> list[ReplicaView]:
    """Those that have been ready since then."""
    times = ((replica, memory.replicas[replica.id].ready_since) for replica in replicas)
    return [replica for replica, ready_since in times if ready_since is not None and ready_since <= since]


def _no_data(metric: MetricPolicy, problem: str) -> Reason:
    consequence = "it is left out" if metric.fallback is Fallback.IGNORE else "it forbids scaling down"
    return Reason(
        text=f"{metric.name} says nothing ({problem}): {consequence}",
        is_for=False,
        hold=Hold.NO_DATA,
        inputs={"metric": metric.name, "target": metric.target, "value": None, "problem": problem},
    )


def _asks(metric: MetricPolicy, measured: _Measured, base: int, asked: int, *, is_tolerated: bool) -> Reason:
    value = measured.value or 0.0
    text = f"{metric.name} is {shown(value)} against a target of {shown(metric.target)}"
    if metric.scope is MetricScope.PER_REPLICA:
        text += f", over {measured.replicas} ready"
    text += f", which asks for {asked}"
    if is_tolerated:
        text += ", within the tolerance"
    if measured.is_partial:
        text += "; not every replica has a value"
    hold = Hold.WITHIN_TOLERANCE if asked == base else None
    cause = None
    if asked != base:
        cause = Cause.METRIC_ABOVE_TARGET if asked > base else Cause.METRIC_BELOW_TARGET
    inputs: dict[str, float | int | str | None] = {
        "metric": metric.name,
        "value": value,
        "target": metric.target,
        "asked": asked,
        "base": base,
    }
    if metric.scope is MetricScope.PER_REPLICA:
        inputs["ready"] = measured.replicas
    return Reason(text=text, is_for=asked != base, hold=hold, cause=cause, inputs=inputs)


def shown(value: float) -> str:
    """A number as people read it: 0.62, 12.5, 340."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
