"""Decides how many replicas a service should have. Pure; called by decide when neither a rollout nor healing owns the
service, and by simulate with a made-up world.

    metrics -> wish -> up at once, within a step a period      \\
                   \\-> panic: a jump, and no way down          -> schedule -> host -> pause -> min and max
                    -> down after the stabilisation window     /
    A person's number takes the place of all that until its hold ends.

What is missing or old holds: it never scales down. Every number that counted is in the reasons.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from supervisor.domain import rates
from supervisor.domain.memory import Recommendation, ServiceMemory
from supervisor.domain.plan import Cause, Hold, Reason
from supervisor.domain.policy import ServicePolicy
from supervisor.domain.scaling_host import room_for
from supervisor.domain.scaling_memory import panic_load, remembering, without_expired
from supervisor.domain.scaling_metrics import Fleet, MetricVerdict, judge, shown, whole
from supervisor.domain.scaling_schedule import highest_floor
from supervisor.domain.snapshot import ServiceView, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleRecommendation:
    """desired: replicas wanted from now on. memory: with what was learned. cause: why it is not what runs.

    why: one sentence with the numbers.
    """

    desired: int
    memory: ServiceMemory
    reasons: tuple[Reason, ...]
    cause: Cause
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """A number on its way through the limits. `said`: the argument that decides it so far."""

    base: int
    replicas: int
    cause: Cause
    reasons: tuple[Reason, ...]
    said: str

    def argued(self, reason: Reason, replicas: int, cause: Cause | None = None) -> _Draft:
        """The draft after an argument. One that only shortens a step is kept, but is not what decided."""
        is_decisive = reason.is_for or replicas == self.base
        return replace(
            self,
            replicas=replicas,
            cause=cause or self.cause,
            reasons=(*self.reasons, reason),
            said=reason.text if is_decisive else self.said,
        )


def recommend(
    service: ServiceView,
    memory: ServiceMemory,
    policy: ServicePolicy,
    ready: int,
    starting: int,
    snapshot: Snapshot,
) -> ScaleRecommendation:
    """How many replicas `service` should have. ready: capacity; starting: begun, not ready yet, still counted on.

    What it recommends is wanted so far in the next cycle (`memory.desired`), so nothing is asked for twice.
    """
    base = ready + starting if memory.desired is None else memory.desired
    memory = without_expired(memory, snapshot.at)
    fleet = Fleet(
        service=service,
        memory=memory,
        scale=policy.scale,
        snapshot=snapshot,
        ready=ready,
        starting=starting,
        base=base,
    )
    if not (policy.is_enabled and policy.scale.is_enabled):
        return _finished(_held_by_person(fleet) or _unscaled(fleet), fleet)
    verdicts = tuple(judge(metric, fleet) for metric in policy.scale.metrics)
    fleet = replace(fleet, memory=remembering(fleet, verdicts, _wish(fleet, verdicts)))
    draft = _held_by_person(fleet, verdicts) or _by_policy(fleet, verdicts)
    return _finished(_clamped(draft, fleet), fleet)


def _by_policy(fleet: Fleet, verdicts: tuple[MetricVerdict, ...]) -> _Draft:
    draft = _clamped(_draft(fleet, verdicts), fleet)
    if draft.replicas > fleet.base or panic_load(fleet) is not None:
        draft = _up(draft, fleet)
    elif draft.replicas < fleet.base:
        draft = _down(draft, fleet, verdicts)
    return _unless_paused(_within_host(_on_schedule(draft, fleet), fleet), fleet)


def _wish(fleet: Fleet, verdicts: tuple[MetricVerdict, ...]) -> int:
    """The most that a metric asks for; when none is valid what there is; when there is none the minimum."""
    asked = [verdict.replicas for verdict in verdicts if verdict.replicas is not None]
    if asked:
        return max(asked)
    return fleet.base if verdicts else fleet.scale.min


def _draft(fleet: Fleet, verdicts: tuple[MetricVerdict, ...]) -> _Draft:
    wish = _wish(fleet, verdicts)
    decisive = max(verdicts, key=lambda verdict: -1.0 if verdict.load is None else verdict.load, default=None)
    cause = Cause.METRIC_ABOVE_TARGET if wish >= fleet.base else Cause.METRIC_BELOW_TARGET
    return _Draft(
        base=fleet.base,
        replicas=wish,
        cause=cause,
        reasons=tuple(verdict.reason for verdict in verdicts),
        said=decisive.reason.text if decisive else f"no metric asks for more than the minimum of {fleet.scale.min}",
    )


def _up(draft: _Draft, fleet: Fleet) -> _Draft:
    """Up at once, by steps; in a panic all the way to the load of the panic window."""
    wish = max(draft.replicas, fleet.base)
    allowed = rates.highest_allowed(fleet.base, fleet.memory.ups, fleet.scale, fleet.snapshot.at)
    stepped = min(wish, allowed)
    load = panic_load(fleet)
    if load is not None and whole(load) > stepped:
        return draft.argued(_panic(load, fleet), whole(load), Cause.PANIC)
    if stepped == wish:
        return replace(draft, replicas=stepped)
    seconds = fleet.scale.up_period_seconds
    text = f"{wish} are wanted, and within {shown(seconds)} s no more than {allowed} are allowed"
    return draft.argued(_against(Hold.RATE_LIMIT, text, wanted=wish, allowed=allowed, seconds=seconds), stepped)


def _down(draft: _Draft, fleet: Fleet, verdicts: tuple[MetricVerdict, ...]) -> _Draft:
    """Down slowly: on whole data only, to the highest wish of the stabilisation window, by steps."""
    against = _against_down(fleet, verdicts)
    if against is not None:
        return draft.argued(against, fleet.base)
    scale, now = fleet.scale, fleet.snapshot.at
    window, seconds = scale.stabilisation_seconds, scale.down_period_seconds
    wishes = rates.recent(fleet.memory.recommendations, now, window)
    highest = min(fleet.base, max((wish.replicas for wish in wishes), default=draft.replicas))
    if highest > draft.replicas:
        text = f"up to {highest} were wanted within the last {shown(window)} s"
        draft = draft.argued(_against(Hold.STABILISING, text, highest=highest, seconds=window), highest)
    allowed = rates.lowest_allowed(fleet.base, fleet.memory.downs, scale, now)
    if allowed > draft.replicas:
        text = f"within {shown(seconds)} s no fewer than {allowed} are allowed"
        reason = _against(Hold.RATE_LIMIT, text, wanted=draft.replicas, allowed=allowed, seconds=seconds)
        draft = draft.argued(reason, allowed)
    return draft


def _against_down(fleet: Fleet, verdicts: tuple[MetricVerdict, ...]) -> Reason | None:
    """What forbids any step down."""
    silent = [verdict.metric.name for verdict in verdicts if verdict.forbids_down]
    if silent:
        names = ", ".join(silent)
        return _against(Hold.NO_DATA, f"no scaling down while {names} is not fully known", metrics=names)
    scale, now = fleet.scale, fleet.snapshot.at
    until = fleet.memory.panic_until
    if until is not None and now < until:
        text = f"no scaling down for {until - now:.0f} s after a panic"
        return _against(Hold.PANIC, text, seconds=until - now)
    window = scale.stabilisation_seconds
    if not rates.is_whole_window_seen(fleet.memory.recommendations, now, window):
        text = f"the load has not been watched for a whole {shown(window)} s yet"
        return _against(Hold.STABILISING, text, seconds=window)
    return None


def _on_schedule(draft: _Draft, fleet: Fleet) -> _Draft:
    schedule = highest_floor(fleet.scale.schedules, fleet.snapshot.wall)
    if schedule is None or schedule.min <= draft.replicas:
        return draft
    text = f"the schedule {schedule.name} asks for at least {schedule.min}"
    reason = Reason(
        text=text,
        is_for=schedule.min > fleet.base,
        cause=Cause.SCHEDULE,
        inputs={"schedule": schedule.name, "min": schedule.min},
    )
    return draft.argued(reason, schedule.min, Cause.SCHEDULE)


def _within_host(draft: _Draft, fleet: Fleet) -> _Draft:
    """Never more than the host has, and never fewer than there are for that."""
    if draft.replicas <= fleet.base:
        return draft
    room = room_for(fleet.service, fleet.memory, fleet.scale, fleet.snapshot)
    if room.replicas is None:
        return draft
    fitting = max(fleet.base, fleet.ready + room.replicas)
    if draft.replicas <= fitting:
        return draft
    text = f"{draft.replicas} do not fit: {room.text}; more machines would help"
    inputs = {**room.inputs, "wanted": draft.replicas, "fitting": fitting}
    return draft.argued(Reason(text=text, is_for=False, hold=Hold.HOST_SATURATED, inputs=inputs), fitting)


def _unless_paused(draft: _Draft, fleet: Fleet) -> _Draft:
    direction = "out" if draft.replicas > fleet.base else "in"
    paused = [until for name, until in fleet.memory.pauses.items() if name in ("all", direction)]
    if draft.replicas == fleet.base or not paused:
        return draft
    seconds = max(paused) - fleet.snapshot.at
    word = "up" if direction == "out" else "down"
    text = f"an operator paused scaling {word} {_lasting(seconds)}"
    return draft.argued(_against(Hold.PAUSED, text, wanted=draft.replicas, seconds=seconds), fleet.base)


def _clamped(draft: _Draft, fleet: Fleet) -> _Draft:
    """Within min and max. A bound that moves the number is a cause, one that stops it a hold."""
    lowest, highest = fleet.scale.min, fleet.scale.max
    if draft.replicas < lowest:
        is_cause = lowest > fleet.base
        hold = None if is_cause else Hold.AT_MIN
        reason = Reason(text=f"the minimum is {lowest}", is_for=is_cause, hold=hold, inputs={"min": lowest})
        return draft.argued(reason, lowest, Cause.BELOW_MIN if is_cause else None)
    if draft.replicas > highest:
        is_cause = highest < fleet.base
        hold = None if is_cause else Hold.AT_MAX
        reason = Reason(text=f"the maximum is {highest}", is_for=is_cause, hold=hold, inputs={"max": highest})
        return draft.argued(reason, highest, Cause.ABOVE_MAX if is_cause else None)
    return draft


def _held_by_person(fleet: Fleet, verdicts: tuple[MetricVerdict, ...] = ()) -> _Draft | None:
    until, replicas = fleet.memory.manual_hold_until, fleet.memory.manual_replicas
    if until is None or replicas is None:
        return None
    seconds = until - fleet.snapshot.at
    text = f"an operator's number of {replicas} is kept {_lasting(seconds)}"
    reason = _against(Hold.MANUAL_HOLD, text, replicas=replicas, seconds=seconds)
    reasons = (*(verdict.reason for verdict in verdicts), reason)
    return _Draft(base=fleet.base, replicas=replicas, cause=Cause.OPERATOR, reasons=reasons, said=text)


def _unscaled(fleet: Fleet) -> _Draft:
    text = "scaling is off in the policy"
    reasons = (_against(Hold.DISABLED, text),)
    return _Draft(base=fleet.base, replicas=fleet.base, cause=Cause.OPERATOR, reasons=reasons, said=text)


def _panic(load: float, fleet: Fleet) -> Reason:
    seconds = fleet.scale.panic_window_seconds
    return Reason(
        text=f"the load of the last {shown(seconds)} s is that of {shown(load)} replicas, and {fleet.ready} are ready",
        is_for=True,
        cause=Cause.PANIC,
        inputs={"load": load, "ready": fleet.ready, "factor": fleet.scale.panic_factor, "seconds": seconds},
    )


def _lasting(seconds: float) -> str:
    return f"for another {shown(seconds)} s" if math.isfinite(seconds) else "until resumed"


def _against(hold: Hold, text: str, **inputs: float | int | str | None) -> Reason:
    return Reason(text=text, is_for=False, hold=hold, inputs=inputs)


def _finished(draft: _Draft, fleet: Fleet) -> ScaleRecommendation:
    """The verdict. A step counts against the next ones only when the number really changes."""
    base, now = fleet.base, fleet.snapshot.at
    ups = rates.recent(fleet.memory.ups, now, fleet.scale.up_period_seconds)
    downs = rates.recent(fleet.memory.downs, now, fleet.scale.down_period_seconds)
    if draft.replicas > base:
        ups = (*ups, Recommendation(at=now, replicas=draft.replicas - base))
    elif draft.replicas < base:
        downs = (*downs, Recommendation(at=now, replicas=base - draft.replicas))
    moves = f"{base} to {draft.replicas} replicas" if draft.replicas != base else f"stays at {base}"
    return ScaleRecommendation(
        desired=draft.replicas,
        memory=replace(fleet.memory, desired=draft.replicas, ups=ups, downs=downs),
        reasons=tuple(_as_argument(reason, draft.replicas - base) for reason in draft.reasons),
        cause=draft.cause,
        why=f"{moves}: {draft.said}",
    )


def _as_argument(reason: Reason, change: int) -> Reason:
    """A metric that asks for fewer is no argument for more."""
    is_contrary = change > 0 and reason.cause is Cause.METRIC_BELOW_TARGET
    return replace(reason, is_for=False) if is_contrary else reason
