"""What a policy would have done: recorded metrics against a made-up service on a fake clock, decided by the arbiter of
production. Used by `supervisor simulate` and, through preview, by the page.

A value per replica was measured over the replicas of then; with another number each has another share of the same load.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import median

from supervisor.domain.decide import Decision, decide, learn
from supervisor.domain.memory import Memory
from supervisor.domain.plan import Cause, StartReplica
from supervisor.domain.policy import HealPolicy, MetricKind, MetricPolicy, MetricScope, Policies, ServicePolicy
from supervisor.ports import Series
from supervisor.replay.world import World

READY = "ready"  # the series that says how many replicas the values were measured over
_HISTORY_SUFFIXES = ("", "_seconds", "_ratio", "_per_second")
_GAP_STEPS = 2.5  # a value holds until the next one; when that does not come within so many steps, there is none


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """replicas: how many there were, where no series says so; None: the policy's minimum."""

    cycle_seconds: float = 2.0
    start_seconds: float = 5.0  # from the start of a replica until it is ready
    replicas: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayPoint:
    """load: the most that a metric asked for, in replicas at target; None when no metric said anything."""

    at: float  # unix seconds
    desired: int
    ready: int
    load: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayStep:
    at: float
    before: int
    after: int
    cause: Cause
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """points: one per cycle. left_out: metrics of the policy that were not recorded."""

    service: str
    points: tuple[ReplayPoint, ...]
    steps: tuple[ReplayStep, ...]
    left_out: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        return self.points[-1].at - self.points[0].at if self.points else 0.0

    @property
    def direction_changes(self) -> int:
        signs = [step.after > step.before for step in self.steps]
        return sum(before != after for before, after in pairwise(signs))


@dataclass(frozen=True, slots=True)
class Recorded:
    """A series that can be asked for its value at any time."""

    times: tuple[float, ...]
    values: tuple[float, ...]
    gap_seconds: float

    @classmethod
    def of(cls, series: Series) -> Recorded:
        ordered = sorted(series)
        times = tuple(at for at, _ in ordered)
        step = median(after - before for before, after in pairwise(times)) if len(times) > 1 else 0.0
        return cls(times, tuple(value for _, value in ordered), max(30.0, _GAP_STEPS * step))

    def at(self, moment: float) -> float | None:
        """The last value, unless it is older than the gap between values explains."""
        index = bisect_right(self.times, moment) - 1
        if index < 0 or moment - self.times[index] > self.gap_seconds:
            return None
        return self.values[index]


@dataclass(slots=True)
class _Sharing:
    """How a value per replica changes when there are other replicas than there were. Late as the value itself: the mean
    over its window."""

    window_seconds: float
    recent: list[tuple[float, float]] = field(default_factory=list)  # (when, 1 / ready)

    def factor(self, now: float, ready: int, recorded: float) -> float:
        self.recent = [entry for entry in self.recent if entry[0] > now - self.window_seconds]
        self.recent.append((now, 1.0 / max(1, ready)))
        return recorded * sum(share for _, share in self.recent) / len(self.recent)


def replay(policy: ServicePolicy, series: Mapping[str, Series], options: ReplayOptions | None = None) -> Replay:
    """Run the policy's scaling over the time of the series (unix seconds). Their names are the metrics', or those of
    the history; `ready` tells how many replicas there were. Without any series of a metric the result has no points."""
    options = options or ReplayOptions()
    found = {metric.name: series_of(metric, series) for metric in policy.scale.metrics}
    recorded = {name: Recorded.of(points) for name, points in found.items() if points}
    left_out = tuple(name for name in found if name not in recorded)
    times = [at for one in recorded.values() for at in (one.times[0], one.times[-1])]
    if not times:
        return Replay(service=policy.service, points=(), steps=(), left_out=left_out)
    metrics = tuple(metric for metric in policy.scale.metrics if metric.name in recorded)
    run = _Run(_scaling_only(policy, metrics), recorded, Recorded.of(series.get(READY, ())), options, min(times))
    points, steps = [], []
    before = run.desired
    for cycle in range(int((max(times) - min(times)) / options.cycle_seconds) + 1):
        point, step = run.cycle(min(times) + cycle * options.cycle_seconds, before)
        points.append(point)
        if step is not None:
            steps.append(step)
        before = point.desired
    return Replay(
        service=policy.service,
        points=tuple(points),
        steps=tuple(steps),
        left_out=left_out,
        metrics=tuple(recorded),
    )


def series_of(metric: MetricPolicy, series: Mapping[str, Series]) -> Series:
    """The recorded series of a metric, by its own name or the one that the history has for it."""
    named = {MetricKind.CPU: ("cpu_ratio",), MetricKind.MEMORY: ("memory_ratio",), MetricKind.PROMQL: ()}[metric.kind]
    names = (*(metric.name + suffix for suffix in _HISTORY_SUFFIXES), *named)
    return next((series[name] for name in names if series.get(name)), ())


def _scaling_only(policy: ServicePolicy, metrics: tuple[MetricPolicy, ...]) -> ServicePolicy:
    """The policy of the made-up service: nobody is ill in it, and nothing stands in front of it."""
    heal = HealPolicy(start_seconds=float("inf"), min_ready=0)
    return replace(policy, is_balanced=False, heal=heal, scale=replace(policy.scale, metrics=metrics))


class _Run:
    """One replay under way."""

    def __init__(
        self,
        policy: ServicePolicy,
        recorded: Mapping[str, Recorded],
        recorded_ready: Recorded,
        options: ReplayOptions,
        begins: float,
    ) -> None:
        self._policy = policy
        self._policies = Policies(services={policy.service: policy})
        self._recorded = recorded
        self._recorded_ready = recorded_ready
        self._constant = float(options.replicas or policy.scale.min)
        self._sharing = {metric.name: _Sharing(metric.window_seconds) for metric in policy.scale.metrics}
        self._memory = Memory()
        first = round(self._ready_then(begins))
        self.desired = min(max(first, policy.scale.min), policy.scale.max)
        self._world = World(policy.service, self.desired, begins, options.start_seconds)

    def cycle(self, at: float, before: int) -> tuple[ReplayPoint, ReplayStep | None]:
        """One look, one decision, its actions."""
        self._world.advance(at)
        ready = self._world.ready
        snapshot = self._world.snapshot(self._values(at, ready), self._policy.scale.metrics)
        decision = decide(snapshot, self._memory, self._policies, ())
        outcomes = self._world.carry_out(decision.plan.actions)
        self._memory = replace(learn(decision.memory, outcomes), cycle=self._memory.cycle + 1)
        verdict = decision.plan.verdicts[self._policy.service]
        loads = self._memory.of(self._policy.service).load
        load = loads[-1].replicas if loads and loads[-1].at == at else None
        point = ReplayPoint(at=at, desired=verdict.desired, ready=ready, load=load)
        if verdict.desired == before:
            return point, None
        cause, why = _argument(decision, self._policy.service, at)
        return point, ReplayStep(at=at, before=before, after=verdict.desired, cause=cause, why=why)

    def _ready_then(self, at: float) -> float:
        return self._recorded_ready.at(at) or self._constant

    def _values(self, at: float, ready: int) -> dict[str, float | None]:
        """What the metrics say of the made-up service."""
        values: dict[str, float | None] = {}
        for metric in self._policy.scale.metrics:
            factor = self._sharing[metric.name].factor(at, ready, self._ready_then(at))
            value = self._recorded[metric.name].at(at)
            if value is not None and metric.scope is MetricScope.PER_REPLICA:
                shared = value * factor
                # A container does not get more CPU than its limit, however much there is to do.
                value = min(shared, max(1.0, value)) if metric.kind is MetricKind.CPU else shared
            values[metric.name] = value
        return values


def _argument(decision: Decision, service: str, at: float) -> tuple[Cause, str]:
    """Why the number changes: of what is started or sent away for it, without what the step itself says."""
    deeds = [
        (action.cause, action.why.partition(": ")[2])
        for action in decision.plan.actions
        if isinstance(action, StartReplica)
    ]
    departures = decision.memory.of(service).departures.values()
    deeds += [(departure.cause, departure.why) for departure in departures if departure.since == at]
    if not deeds:
        return Cause.OPERATOR, decision.plan.verdicts[service].sentence
    cause, why = deeds[0]
    return cause, why.partition(": ")[2] or why
