"""What a changed policy would have done with the last hour: for the page, before the change is in force. Called by the
API, in a thread (an hour takes about half a second).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise

from supervisor.domain.policy import Policies, ServicePolicy
from supervisor.ports import Series
from supervisor.replay.run import Replay, replay


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviewResult:
    """points: (unix seconds, replicas), the ends and both sides of every change; none when nothing was recorded."""

    points_now: Series
    points_proposed: Series
    sentences: tuple[str, ...]


def preview(current: Policies, proposed: Policies, service: str, series: Mapping[str, Series]) -> PreviewResult:
    """Replay the recorded series (named as in the history) under both policies, and say how they differ."""
    before, after = current.of(service), proposed.of(service)
    problem = _problem(service, before, after)
    if problem or before is None or after is None:
        return PreviewResult(points_now=(), points_proposed=(), sentences=(problem,))
    now, then = replay(before, series), replay(after, series)
    if not now.points or not then.points:
        text = f"Nothing was recorded yet of what the number of replicas of {service} follows."
        return PreviewResult(points_now=(), points_proposed=(), sentences=(text,))
    left_out = sorted({*now.left_out, *then.left_out})
    sentences = [
        f"Replayed: {then.seconds / 60:.0f} minutes of {service}, by {', '.join(then.metrics)}.",
        *([f"Not recorded, and left out: {', '.join(left_out)}."] if left_out else []),
        f"As it is: {summary(now, before)}.",
        f"As proposed: {summary(then, after)}.",
        _difference(now, then),
    ]
    return PreviewResult(points_now=steps_of(now), points_proposed=steps_of(then), sentences=tuple(sentences))


def summary(run: Replay, policy: ServicePolicy) -> str:
    """How a replay went, in half a sentence."""
    numbers = [point.desired for point in run.points]
    low, high = min(numbers), max(numbers)
    span = f"{low} replicas throughout" if low == high else f"{low} to {high} replicas"
    ups = sum(step.after > step.before for step in run.steps)
    steps = f"{ups} step{'s' * (ups != 1)} up and {len(run.steps) - ups} down"
    text = f"{span}, {sum(numbers) / len(numbers):.1f} on average, {steps}"
    too_much = 1.0 + policy.scale.tolerance_ratio
    short = sum(point.load is not None and point.load > point.ready * too_much for point in run.points)
    if short:
        text += f"; {short / len(run.points):.1%} of the time more to do than the ready ones are meant for"
    return text


def steps_of(run: Replay) -> Series:
    """The wanted number as a line with corners: the ends, and both sides of every change."""
    if not run.points:
        return ()
    corners = [(run.points[0].at, float(run.points[0].desired))]
    for before, after in pairwise(run.points):
        if before.desired != after.desired:
            corners += [(after.at, float(before.desired)), (after.at, float(after.desired))]
    return (*corners, (run.points[-1].at, float(run.points[-1].desired)))


def _problem(service: str, before: ServicePolicy | None, after: ServicePolicy | None) -> str:
    if after is None:
        return f"{service} would have no policy: it would be shown and never touched."
    if before is None:
        return f"{service} has no policy now, so there is nothing to compare with."
    if not (after.is_enabled and after.scale.is_enabled):
        return f"The number of replicas of {service} would follow nothing: its scaling is off."
    return ""


def _difference(now: Replay, then: Replay) -> str:
    if [point.desired for point in now.points] == [point.desired for point in then.points]:
        return "Nothing would have been different."
    before = {point.at: point.desired for point in now.points}
    differing = [
        (point, before[point.at]) for point in then.points if before.get(point.at, point.desired) != point.desired
    ]
    if not differing:
        return "The two follow different series, so they cannot be compared moment by moment."
    first, number = differing[0]
    moment = datetime.fromtimestamp(first.at, UTC)
    why = next((f": {step.why}" for step in reversed(then.steps) if step.at <= first.at), "")
    return f"The first difference is at {moment:%H:%M:%S} UTC, {first.desired} replicas instead of {number}{why}."
