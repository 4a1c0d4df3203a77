"""One cycle of a rollout: its inputs, the traffic counted and judged, and the step that it returns. Used by rollout.py.

Shares hold only while NGINX spreads requests by weight alone. With least_conn an image that fails at once is always the
least busy one: measured, with one request in ten taking 3.5 s, 92 % of all requests went to a failing replica of weight
5 beside three of weight 100, and 1.7 % without least_conn. So lists with different weights must be served by weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from supervisor.domain import rollout_fleet as fleets
from supervisor.domain.evidence import Judgement, Verdict, added, judge, mark_of
from supervisor.domain.memory import Departure, Rollout, RolloutPhase, ServiceMemory, TrafficMark
from supervisor.domain.plan import Cause, Hold, Reason, StartReplica, TagImage
from supervisor.domain.policy import ServicePolicy
from supervisor.domain.rollout_fleet import Fleet
from supervisor.domain.rollout_request import id_tag, repository
from supervisor.domain.snapshot import ServiceView, Snapshot

FULL_WEIGHT = 100
_BACK = frozenset({RolloutPhase.ROLLING_BACK, RolloutPhase.ROLLED_BACK})
_SMALL_SHARE = frozenset({RolloutPhase.STARTING, RolloutPhase.CANARY})


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutStep:
    """What a cycle does for a rollout. `weights`: of the replicas that get less than a full share, by id.

    `memory.departures` may lack departures that a rollback calls off; `departures` are to be added to them.
    """

    memory: ServiceMemory
    start: tuple[StartReplica, ...] = ()
    departures: tuple[Departure, ...] = ()
    weights: Mapping[str, int] = field(default_factory=dict)
    tags: tuple[TagImage, ...] = ()
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle:
    """The inputs of one cycle. `rollout` is the newest form; `memory.rollout` may be older."""

    rollout: Rollout
    fleet: Fleet
    service: ServiceView
    memory: ServiceMemory
    policy: ServicePolicy
    snapshot: Snapshot

    @property
    def at(self) -> float:
        return self.snapshot.at

    @property
    def is_paused(self) -> bool:
        """A pause of everything also halts a rollout where it is; it does not keep a bad image."""
        return self.memory.pauses.get("all", 0.0) > self.at

    @property
    def weight(self) -> int:
        """The weight of the new replicas now."""
        return FULL_WEIGHT if self.rollout.phase not in _SMALL_SHARE else self.weights[self.weight_index]

    @property
    def weights(self) -> tuple[int, ...]:
        """The shares of the canary. An image that ran before begins with a full one."""
        return (FULL_WEIGHT,) if self.rollout.is_quick else self.policy.rollout.canary_weights or (FULL_WEIGHT,)

    @property
    def weight_index(self) -> int:
        return min(self.rollout.weight_step, len(self.weights) - 1)

    @property
    def is_in_place(self) -> bool:
        """Every new replica is ready, and NGINX sends it requests with its weight."""
        fleet, weight = self.fleet, self.weight
        if not fleet.is_new_ready or fleet.pending:
            return False
        return fleets.is_listed(fleet, weight, self.policy, self.snapshot, self.service.name)

    def since(self, moment: float | None) -> float:
        """Seconds since a moment; 0 when it has not come."""
        return 0.0 if moment is None else max(0.0, self.at - moment)

    def moved(self, phase: RolloutPhase) -> Cycle:
        return self.having(replace(self.rollout, phase=phase, phase_since=self.at))

    def having(self, rollout: Rollout) -> Cycle:
        return replace(self, rollout=rollout)

    def judged(self) -> Judgement:
        """The evidence of this step; against what the old ones did before when hardly any is left."""
        rollout, policy = self.rollout, self.policy.rollout
        is_enough = rollout.old_traffic.requests >= policy.min_requests
        old = rollout.old_traffic if is_enough else rollout.baseline
        if self._is_mute():
            text = f"the new image answered nothing through NGINX, the old one {rollout.old_traffic.requests} requests"
            return Judgement(verdict=Verdict.BAD, text=text)
        return judge(old, rollout.new_traffic, policy, self._next_share())

    def _next_share(self) -> float:
        """The part of all traffic that the new replicas get in the next step."""
        news, olds = len(self.fleet.new), len(self.fleet.old)
        is_last = self.weight_index + 1 >= len(self.weights)
        weight = FULL_WEIGHT if is_last else self.weights[self.weight_index + 1]
        rest = max(0, olds - 1) if is_last else olds  # after the canary an old one leaves
        return weight * news / (weight * news + FULL_WEIGHT * rest) if news else 1.0

    def _is_mute(self) -> bool:
        """Requests must have been sent to the new replicas, and none was answered, well or badly."""
        rollout, policy, olds = self.rollout, self.policy.rollout, len(self.fleet.old)
        if not olds or rollout.new_traffic.requests or self.since(rollout.step_since) < 2 * policy.step_seconds:
            return False
        due = rollout.old_traffic.requests * self.weight * len(self.fleet.new) / (FULL_WEIGHT * olds)
        return due >= policy.min_requests

    def stay(self, text: str, *, hold: Hold | None = None, judgement: Judgement | None = None) -> RolloutStep:
        """A step that does nothing yet, with its reason and the weights that are to be in force."""
        rollout, weight = self.rollout, self.weight
        inputs: dict[str, float | int | str | None] = {"phase": rollout.phase.value}
        if judgement is not None:
            inputs |= {
                "new_requests": rollout.new_traffic.requests,
                "new_errors": rollout.new_traffic.errors,
                "old_requests": rollout.old_traffic.requests,
                "old_errors": rollout.old_traffic.errors,
                "error_evidence": judgement.error_evidence,
                "latency_evidence": judgement.latency_evidence,
            }
        reason = Reason(
            text=f"{rollout.phase.value.replace('_', ' ')}: {text}",
            is_for=hold is None,
            hold=hold,
            cause=self.cause,
            inputs=inputs,
        )
        return RolloutStep(
            memory=replace(self.memory, rollout=rollout),
            weights={view.id: weight for view in self.fleet.new} if weight < FULL_WEIGHT else {},
            reasons=(reason,),
        )

    def finished(self, phase: RolloutPhase, verdict: str) -> RolloutStep:
        rollout = replace(self.moved(phase).rollout, verdict=verdict, finished_at=self.at)
        return self.having(rollout).stay(verdict)

    @property
    def cause(self) -> Cause:
        return Cause.ROLLBACK if self.rollout.phase in _BACK else Cause.ROLLOUT

    @property
    def tag_kept(self) -> TagImage | None:
        """Without a name of its own, the image before would be nameless when the project's tag has moved on."""
        rollout = self.rollout
        tag = rollout.previous_image.rpartition(":")[2]
        if tag != id_tag(rollout.previous_image_id):
            return None
        return self._tag(tag, rollout.previous_image_id, "the image before keeps a name")

    @property
    def tags_of_new(self) -> tuple[TagImage, ...]:
        """Compose's own tag follows what runs, so that `docker compose up` changes nothing."""
        rollout, project = self.rollout, self.snapshot.project
        return (
            self._tag(f"{project}-previous", rollout.previous_image_id, "the image before, for people"),
            self._tag(project, rollout.image_id, f"Compose starts what runs: {rollout.image}"),
        )

    @property
    def tag_of_old(self) -> TagImage:
        rollout = self.rollout
        why = f"Compose starts what runs: {rollout.previous_image}"
        return self._tag(self.snapshot.project, rollout.previous_image_id, why)

    def _tag(self, tag: str, image_id: str, why: str) -> TagImage:
        return TagImage(
            id=f"{self.rollout.id}-tag-{tag}",
            service=self.rollout.service,
            cause=self.cause,
            why=why,
            image_id=image_id,
            reference=f"{repository(self.rollout.image)}:{tag}",
        )


def counted(rollout: Rollout, fleet: Fleet) -> Rollout:
    """The traffic since the last cycle, added to what was counted of new and old ones."""
    marks: dict[str, TrafficMark] = {}
    new, old, baseline = rollout.new_traffic, rollout.old_traffic, rollout.baseline
    for view in (*fleet.new, *fleet.old):
        mark = rollout.marks.get(view.id)
        # What a person stopped answers nothing; that is not the image's fault.
        if mark is not None and view.traffic is not None and not fleets.is_stopped(view):
            is_warm = view.id in fleet.warm
            if view.image_id == rollout.image_id:
                new = added(new, mark, view.traffic, is_warm=is_warm)
            else:
                old = added(old, mark, view.traffic, is_warm=is_warm)
                baseline = added(baseline, mark, view.traffic, is_warm=is_warm)
        marks[view.id] = mark if mark is not None and view.traffic is None else mark_of(view.traffic)
    new_ids = tuple(sorted({*rollout.new_ids, *(view.id for view in fleet.new)}))
    if new_ids != rollout.new_ids:
        rollout = replace(rollout, missing_since=None, new_ids=new_ids)
    return replace(rollout, marks=marks, new_traffic=new, old_traffic=old, baseline=baseline)


def reset(rollout: Rollout, at: float) -> Rollout:
    """A new step: an image that turns bad late is not excused by what it did before."""
    return replace(rollout, step_since=at, new_traffic=TrafficMark(), old_traffic=TrafficMark())
