"""Replaces the image of a service one replica at a time, and takes it back when the new one is worse.

Called by decide.py every cycle while a rollout runs; what it returns, the arbiter turns into a plan. Nothing is
remembered of what runs: new replicas are those of the new image, so a supervisor that was killed goes on from what
it finds.

    starting --ready--> canary --evidence--> replacing --no old one left--> baking --time--> done
        \\________________|____________________|____________________________/
                          any trouble of a new replica, bad evidence, a person
                                    v
                              rolling_back --only old ones left--> rolled_back

starting: one replica of the new image beside the old ones (the surge is one). canary: it gets the shares of
`canary_weights` one after the other. replacing: an old one leaves, a new one is started, and so on. baking: all are
new; what goes wrong now still takes the old image back.
"""

from __future__ import annotations

from dataclasses import replace

from supervisor.domain import rollout_fleet as fleets
from supervisor.domain.evidence import Verdict
from supervisor.domain.memory import Rollout, RolloutPhase, ServiceMemory
from supervisor.domain.plan import Cause, Hold
from supervisor.domain.policy import ServicePolicy
from supervisor.domain.rollout_cycle import FULL_WEIGHT, Cycle, RolloutStep, counted, reset
from supervisor.domain.rollout_request import begin, is_running, owns, roll_back
from supervisor.domain.snapshot import ServiceView, Snapshot

__all__ = ["RolloutStep", "advance", "begin", "is_running", "owns", "roll_back"]


def advance(service: ServiceView, memory: ServiceMemory, policy: ServicePolicy, snapshot: Snapshot) -> RolloutStep:
    """One cycle of a rollout; nothing when none runs. Only for complete snapshots, and memory of this cycle."""
    if memory.rollout is None or not is_running(memory):
        return RolloutStep(memory=memory)
    step = _advanced(service, memory, memory.rollout, policy, snapshot)
    # Who leaves for good does not wait for a restart or an operator's drain to end.
    leavers = {departure.replica_id for departure in step.departures}
    others = {id_: departure for id_, departure in step.memory.departures.items() if id_ not in leavers}
    return replace(step, memory=replace(step.memory, departures=others))


def _advanced(
    service: ServiceView, memory: ServiceMemory, rollout: Rollout, policy: ServicePolicy, snapshot: Snapshot
) -> RolloutStep:
    fleet = fleets.look(service, memory, rollout, policy, snapshot)
    rollout = counted(rollout, fleet)
    cycle = Cycle(rollout=rollout, fleet=fleet, service=service, memory=memory, policy=policy, snapshot=snapshot)
    if not service.replicas and not fleet.pending:
        return cycle.finished(RolloutPhase.ROLLED_BACK, "the service was taken down in the middle of the rollout")
    if fleet.is_stopped:
        return cycle.stay("all replicas were stopped: somebody takes the service down", hold=Hold.STOPPED_BY_PERSON)
    if rollout.phase is RolloutPhase.ROLLING_BACK:
        return _rolling_back(cycle)
    if rollout.new_ids and not fleet.new and not fleet.pending:
        return _turned(cycle, "somebody removed the new replicas")
    ill = fleets.trouble(fleet, memory, policy, snapshot)
    if ill:
        return _turned(cycle, ill)
    match rollout.phase:
        case RolloutPhase.STARTING:
            return _starting(cycle)
        case RolloutPhase.CANARY:
            return _canary(cycle)
        case RolloutPhase.REPLACING:
            return _replacing(cycle)
        case _:
            return _baking(cycle)


def _starting(cycle: Cycle) -> RolloutStep:
    """Start the first new replica and wait for it."""
    rollout, fleet, limit = cycle.rollout, cycle.fleet, cycle.policy.rollout.ready_seconds
    if fleet.is_new_ready:
        return _canary(cycle.having(replace(rollout, step_since=None)).moved(RolloutPhase.CANARY))
    waited = cycle.since(rollout.step_since)
    if waited > limit:
        what = "was not ready" if fleet.new else "could not be started"
        return _turned(cycle, f"the new replica {what} within {limit:g} s")
    if fleet.new or fleet.pending:
        return cycle.stay(f"the new replica gets ready ({waited:.0f} of at most {limit:g} s)", hold=Hold.STARTING)
    if fleet.leaving:
        return cycle.stay("another replica leaves first, so that never more than one is too many", hold=Hold.DRAINING)
    if cycle.is_paused:
        return cycle.stay("paused", hold=Hold.PAUSED)
    if fleet.running > fleet.target:
        leaver = fleets.farewell(fleets.weakest(fleet), cycle.cause, "one more than wanted", cycle.at)
        return replace(cycle.stay("a surplus replica makes room"), departures=(leaver,))
    first = cycle.at if rollout.step_since is None else rollout.step_since
    step = _start_one(cycle.having(replace(rollout, step_since=first)))
    return replace(step, tags=(cycle.tag_kept,) if cycle.tag_kept else ())


def _canary(cycle: Cycle) -> RolloutStep:
    """Give the first new replica its share, and the next one when the evidence is good or time is up."""
    rollout, policy = cycle.rollout, cycle.policy.rollout
    if not cycle.is_in_place:
        return _wait_until_in_place(cycle)
    if rollout.step_since is None:
        return cycle.having(reset(rollout, cycle.at)).stay(f"weight {cycle.weight} beside {FULL_WEIGHT} is in force")
    judgement, waited = cycle.judged(), cycle.since(rollout.step_since)
    if judgement.verdict is Verdict.BAD:
        return _turned(cycle, judgement.text)
    is_silent = rollout.new_traffic.requests + rollout.baseline.requests == 0
    is_over = judgement.verdict is Verdict.GOOD or is_silent or waited >= policy.step_max_seconds
    if waited < policy.step_seconds or not is_over:
        limits = f"{policy.step_seconds:g} s and {policy.min_requests} requests, at most {policy.step_max_seconds:g} s"
        text = f"weight {cycle.weight} for {waited:.0f} s (at least {limits}): {judgement.text}"
        return cycle.stay(text, hold=Hold.ROLLOUT, judgement=judgement)
    if cycle.is_paused:
        return cycle.stay("paused", hold=Hold.PAUSED)
    if cycle.weight_index + 1 >= len(cycle.weights):
        return _replacing(cycle.moved(RolloutPhase.REPLACING))
    step = replace(rollout, weight_step=cycle.weight_index + 1, phase_since=cycle.at, step_since=None)
    cycle = cycle.having(step)
    return cycle.stay(f"weight {cycle.weight} next: {judgement.text}", judgement=judgement)


def _replacing(cycle: Cycle) -> RolloutStep:
    """An old one leaves, a new one is started, until only new ones are left."""
    fleet = cycle.fleet
    judgement = cycle.judged()
    if judgement.verdict is Verdict.BAD:
        return _turned(cycle, judgement.text)
    if not cycle.is_in_place:
        return _wait_until_in_place(cycle)
    if cycle.rollout.step_since is None:
        cycle = cycle.having(reset(cycle.rollout, cycle.at))
    done = f"{len(fleet.new)} of {fleet.target} replaced"
    if not fleet.old and len(fleet.new) >= fleet.target:
        baking = cycle.having(reset(cycle.rollout, cycle.at)).moved(RolloutPhase.BAKING)
        return replace(baking.stay(done), tags=baking.tags_of_new)
    if fleet.leaving:
        return cycle.stay(f"{done}; an old one finishes what it has in hand", hold=Hold.DRAINING)
    if cycle.is_paused:
        return cycle.stay(f"{done}; paused", hold=Hold.PAUSED)
    if cycle.since(cycle.rollout.step_since) < cycle.policy.rollout.step_seconds:
        return cycle.stay(f"{done}: {judgement.text}", hold=Hold.ROLLOUT, judgement=judgement)
    if fleet.running > fleet.target or len(fleet.new) >= fleet.target:
        why = f"a replica of {cycle.rollout.image} takes its place"
        leaver = fleets.farewell(fleets.weakest(fleet), cycle.cause, why, cycle.at)
        return replace(cycle.stay(f"{done}; the next old one leaves"), departures=(leaver,))
    rollout, limit = cycle.rollout, cycle.policy.rollout.ready_seconds
    if cycle.since(rollout.missing_since) > limit:
        return _turned(cycle, f"a new replica could not be started within {limit:g} s")
    first = cycle.at if rollout.missing_since is None else rollout.missing_since
    return _start_one(cycle.having(replace(rollout, phase_since=cycle.at, step_since=None, missing_since=first)))


def _baking(cycle: Cycle) -> RolloutStep:
    """Only new ones are left; what shows now still takes the old image back."""
    judgement, seconds = cycle.judged(), cycle.policy.rollout.bake_seconds
    if judgement.verdict is Verdict.BAD:
        return _turned(cycle, judgement.text)
    waited = cycle.since(cycle.rollout.phase_since)
    if waited >= seconds:
        step = cycle.finished(RolloutPhase.DONE, f"good: {judgement.text}")
        # Once more: the first time, the supervisor may have been killed in between.
        return replace(step, tags=cycle.tags_of_new)
    text = f"all replicas are new, watched for {waited:.0f} of {seconds:g} s: {judgement.text}"
    return cycle.stay(text, judgement=judgement)


def _rolling_back(cycle: Cycle) -> RolloutStep:
    """New ones leave at once where an old one is ready; what is missing of the old image is started again."""
    rollout, fleet, at = cycle.rollout, cycle.fleet, cycle.at
    # An old one that was about to leave and still runs undisturbed goes back to work.
    kept = {
        id_: departure
        for id_, departure in cycle.memory.departures.items()
        if departure.cause is not Cause.ROLLOUT or departure.signalled_at is not None
    }
    called_off = [view for view in fleet.leaving if view.id not in kept]
    old = [*fleet.old, *called_off]
    missing = max(0, fleet.target - fleet.pending - sum(not fleets.is_stopped(view) for view in old))
    cycle = replace(cycle, memory=replace(cycle.memory, departures=kept))
    if not missing and not fleet.pending and not _has_new(cycle):
        return replace(cycle.finished(RolloutPhase.ROLLED_BACK, rollout.verdict), tags=(cycle.tag_of_old,))
    # Without an old one that is ready, a bad new one is better than none; one that does not work at all is not.
    is_replaceable = any(fleet.is_ready(view) for view in old)
    departures = tuple(
        fleets.farewell(view, cycle.cause, rollout.verdict, at, is_hung=fleets.is_hung(view, cycle.policy))
        for view in fleet.new
        if is_replaceable or not fleet.is_ready(view)
    )
    return replace(
        cycle.stay(f"to {rollout.previous_image}: {rollout.verdict}"),
        start=fleets.start_back(fleet, rollout, cycle.service, missing),
        departures=departures,
        tags=(cycle.tag_of_old,) if rollout.phase_since == at else (),
    )


def _has_new(cycle: Cycle) -> bool:
    return any(view.image_id == cycle.rollout.image_id for view in cycle.service.replicas)


def _turned(cycle: Cycle, why: str) -> RolloutStep:
    """Roll back, and do the first of it in the same cycle."""
    turned = replace(cycle.rollout, verdict=why, step_since=None)
    return _rolling_back(cycle.having(turned).moved(RolloutPhase.ROLLING_BACK))


def _start_one(cycle: Cycle) -> RolloutStep:
    step = cycle.stay(f"one more replica of {cycle.rollout.image} is started")
    return replace(step, start=(fleets.start(cycle.fleet, cycle.rollout, cycle.service),))


def _wait_until_in_place(cycle: Cycle) -> RolloutStep:
    """The new replicas are not all ready and listed with their weight; that has a deadline."""
    limit = cycle.policy.rollout.ready_seconds
    if cycle.rollout.step_since is not None:  # they were: the deadline begins now
        cycle = cycle.having(replace(cycle.rollout, phase_since=cycle.at, step_since=None))
    waited = cycle.since(cycle.rollout.phase_since)
    is_ready = cycle.fleet.is_new_ready and not cycle.fleet.pending
    if waited > limit:
        what = f"NGINX did not take up weight {cycle.weight}" if is_ready else "a new replica was not ready"
        return _turned(cycle, f"{what} within {limit:g} s")
    what = f"NGINX takes up weight {cycle.weight}" if is_ready else "a new replica gets ready"
    return cycle.stay(f"{what} ({waited:.0f} of at most {limit:g} s)", hold=Hold.STARTING)
