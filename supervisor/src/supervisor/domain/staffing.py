"""Turns the number of replicas that are wanted into replicas that are started and replicas that leave. Called by
decide.py when no rollout owns the service.

What is starting, what a person stopped and what Docker restarts by itself keeps its place; what is ill does not, so its
replacement is started beside it. When all are well again there is one too many, and the arbiter picks who leaves: the
unhealthy, then the one with the fewest requests in hand, then the one with the highest number.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from supervisor.domain.health import LEFT_ALONE, Verdict, fresh_load
from supervisor.domain.memory import Departure, Errand
from supervisor.domain.plan import Action, Cause, Hold, Reason, RemoveReplica, StartReplica
from supervisor.domain.recollection import HEAL_CAUSES
from supervisor.domain.scaling_host import room_for
from supervisor.domain.scene import Scene
from supervisor.domain.snapshot import ReplicaView

# A crashed replica that Docker has not brought back by then no longer counts as capacity to come.
CRASH_SECONDS = 10.0
# A clone that was made and never started: the supervisor was killed in between, or Docker refused the start.
ORPHAN_SECONDS = 10.0
# Why replicas leave that nothing is wrong with.
_TOO_MANY = frozenset({Cause.METRIC_BELOW_TARGET, Cause.SCHEDULE, Cause.ABOVE_MAX, Cause.OPERATOR, Cause.SURPLUS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How many replicas are wanted, and the argument for that number.

    is_new: it was another one a cycle ago. is_held: it is a person's. Otherwise the argument is an old one, and what
    differs from the number has other reasons.
    """

    replicas: int
    cause: Cause
    why: str
    is_new: bool = False
    is_held: bool = False

    @property
    def is_argued(self) -> bool:
        return self.is_new or self.is_held


@dataclass(frozen=True, slots=True, kw_only=True)
class Staffing:
    scene: Scene
    actions: tuple[Action, ...] = ()
    reasons: tuple[Reason, ...] = ()


def staffed(scene: Scene, wish: Wish, *, has_dependency_trouble: bool) -> Staffing:
    """Start what is missing, or send away what is too much; and clear away what was only half made."""
    orphans = _orphans(scene)
    if not scene.can_clone:
        return Staffing(scene=scene, actions=orphans)
    kept = sum(_keeps_its_place(r, scene, has_dependency_trouble) for r in scene.service.replicas)
    missing = wish.replicas - kept - len(scene.memory.pending_starts)
    scene, recalled = _recalled(scene, wish, missing)
    missing -= len(recalled)
    if recalled and missing <= 0:
        return Staffing(scene=scene, actions=orphans, reasons=recalled)
    result = _more(scene, wish, missing) if missing > 0 else _fewer(scene, wish)
    return replace(result, actions=(*orphans, *result.actions), reasons=(*recalled, *result.reasons))


def next_numbers(scene: Scene, count: int) -> range:
    """Container numbers that nobody has, nor any clone that was asked for and is not seen yet."""
    numbers = [r.number for r in scene.service.replicas]
    numbers += [int(tail) for name in scene.memory.pending_starts if (tail := name.rpartition("-")[2]).isdigit()]
    first = max(numbers, default=0) + 1
    return range(first, first + count)


def clone_name(scene: Scene, number: int) -> str:
    """As Compose names the containers of a service."""
    return f"{scene.snapshot.project}-{scene.name}-{number}"


def with_pending(scene: Scene, starts: tuple[StartReplica, ...]) -> Scene:
    """Remember what is being started, so that it is not started twice while it cannot be seen yet."""
    added = {clone_name(scene, start.number): scene.at for start in starts}
    return scene.with_memory(replace(scene.memory, pending_starts={**scene.memory.pending_starts, **added}))


def _keeps_its_place(replica: ReplicaView, scene: Scene, has_dependency_trouble: bool) -> bool:
    departure = scene.memory.departures.get(replica.id)
    verdict, known = scene.healths[replica.id].verdict, scene.memory.replicas[replica.id]
    if departure is not None:
        is_back_soon = departure.cause not in HEAL_CAUSES or has_dependency_trouble
        return departure.errand is Errand.RESTART and is_back_soon
    match verdict:
        case Verdict.READY | Verdict.STARTING | Verdict.UNKNOWN:
            return True
        case Verdict.CREATED:
            return True  # Compose is about to start it, or it is cleared away first
        case Verdict.CRASHED:
            return known.unready_since is not None and scene.at - known.unready_since < CRASH_SECONDS
        case Verdict.UNREADY if known.unready_since is not None:
            # Nothing is done about it yet either: Compose may just be stopping it.
            is_early = scene.at - known.unready_since < scene.policy.heal.unhealthy_seconds
            return is_early or has_dependency_trouble
        case _:
            return verdict in LEFT_ALONE or has_dependency_trouble


def _orphans(scene: Scene) -> tuple[Action, ...]:
    found = []
    for replica in scene.being(Verdict.CREATED):
        age = scene.at - scene.memory.replicas[replica.id].first_seen
        if replica.is_clone and age >= ORPHAN_SECONDS:
            why = f"remove {replica.name}: it was made and never started"
            found.append(RemoveReplica(id="", service=scene.name, cause=Cause.SURPLUS, why=why, replica_id=replica.id))
    return tuple(found)


def _recalled(scene: Scene, wish: Wish, missing: int) -> tuple[Scene, tuple[Reason, ...]]:
    """Keep those that were too many a moment ago and still finish what they have: sooner there than any new one."""
    departures = dict(scene.memory.departures)
    finishing = [
        r
        for r in scene.service.replicas
        if (departure := departures.get(r.id)) is not None
        and departure.errand is Errand.REMOVE
        and departure.cause in _TOO_MANY
        and departure.signalled_at is None
        and scene.healths[r.id].verdict is Verdict.READY
    ]
    stay = sorted(finishing, key=lambda r: r.number)[: max(0, missing)]
    for replica in stay:
        del departures[replica.id]
    reasons = (Reason(text=f"{r.name} stays after all: {wish.why}", is_for=True, cause=wish.cause) for r in stay)
    return scene.with_memory(replace(scene.memory, departures=departures)), tuple(reasons)


def _more(scene: Scene, wish: Wish, missing: int) -> Staffing:
    ill = [r for r in scene.service.replicas if not _keeps_its_place(r, scene, False) and _is_ill(r, scene)]
    cause, why = (wish.cause, wish.why) if wish.is_argued else (Cause.REPLACEMENT, f"{missing} missing")
    if ill and (missing <= len(ill) or not wish.is_argued):
        cause, why = Cause.REPLACEMENT, f"in the place of {', '.join(_illness(r, scene) for r in ill)}"
    against = _against_more(scene, is_replacement=bool(ill))
    if against is not None:
        return Staffing(scene=scene, reasons=(against,))
    template = _template(scene)
    if template is None:
        return Staffing(scene=scene)
    starts = tuple(
        StartReplica(
            id="",
            service=scene.name,
            cause=cause,
            why=f"start {clone_name(scene, number)}: {why}",
            template_id=template.id,
            number=number,
        )
        for number in next_numbers(scene, missing)
    )
    return Staffing(scene=with_pending(scene, starts), actions=starts)


def _is_ill(replica: ReplicaView, scene: Scene) -> bool:
    departure = scene.memory.departures.get(replica.id)
    return departure is None or departure.cause in HEAL_CAUSES


def _illness(replica: ReplicaView, scene: Scene) -> str:
    departure = scene.memory.departures.get(replica.id)
    return departure.why if departure is not None else f"{replica.name}: {scene.healths[replica.id].why}"


def _against_more(scene: Scene, *, is_replacement: bool) -> Reason | None:
    if "all" in scene.memory.pauses:
        return Reason(text="an operator paused starts", is_for=False, hold=Hold.PAUSED)
    for replica in scene.service.replicas:
        departure = scene.memory.departures.get(replica.id)
        is_leaving = departure is not None and departure.errand is Errand.REMOVE
        if replica.is_clone and not is_leaving and _is_stillborn(replica, scene):
            text = f"{replica.name} was never ready, so another one would hardly be"
            return Reason(text=text, is_for=False, hold=Hold.QUARANTINE)
    if is_replacement:
        room = room_for(scene.service, scene.memory, scene.policy.scale, scene.snapshot)
        if room.replicas is not None and room.replicas < 1:
            text = f"no room for a replacement: {room.text}; more machines would help"
            return Reason(text=text, is_for=False, hold=Hold.HOST_SATURATED, inputs=room.inputs)
    return None


def _is_stillborn(replica: ReplicaView, scene: Scene) -> bool:
    known, verdict = scene.memory.replicas[replica.id], scene.healths[replica.id].verdict
    is_failing = verdict is Verdict.NEVER_READY or known.quarantined_until is not None or len(known.restart_times) > 1
    return is_failing and not known.was_ever_ready


def _template(scene: Scene) -> ReplicaView | None:
    """The best to copy: one that is ready, and made by Compose."""
    candidates = [r for r in scene.service.replicas if scene.healths[r.id].verdict is not Verdict.CREATED]

    def order(replica: ReplicaView) -> tuple[bool, bool, bool, int]:
        is_ready = scene.healths[replica.id].verdict is Verdict.READY
        return (not is_ready, replica.id in scene.memory.departures, replica.is_clone, replica.number)

    return min(candidates, key=order, default=None)


def _fewer(scene: Scene, wish: Wish) -> Staffing:
    ready = scene.ready
    if len(ready) < wish.replicas:
        return Staffing(scene=scene)
    ill = [r for r in scene.service.replicas if _is_useless(r, scene)]
    surplus = min(len(ready) - wish.replicas, scene.spare)
    if not ill and surplus <= 0:
        return Staffing(scene=scene, reasons=_budget(scene, len(ready) - wish.replicas))
    if scene.memory.pauses.keys() & {"all", "in"}:
        text = "an operator paused scaling down, so what is too much stays"
        return Staffing(scene=scene, reasons=(Reason(text=text, is_for=False, hold=Hold.PAUSED),))
    if wish.is_new and scene.policy.is_balanced and not ill and not any(fresh_load(r, scene.at) for r in ready):
        text = "first each is asked what it has in hand"
        return Staffing(scene=scene, reasons=(Reason(text=text, is_for=False, hold=Hold.DRAINING),))
    in_order = sorted(ready, key=lambda r: (_in_hand(r, scene), -r.number))
    leavers = [*ill, *in_order[: max(0, surplus)]]
    cause = wish.cause if wish.is_argued and not ill else Cause.SURPLUS
    text = wish.why if cause is not Cause.SURPLUS else f"{len(ready)} are ready, and {wish.replicas} are wanted"
    farewells = {
        r.id: Departure(replica_id=r.id, errand=Errand.REMOVE, cause=cause, why=text, since=scene.at) for r in leavers
    }
    memory = replace(scene.memory, departures={**scene.memory.departures, **farewells})
    reasons = tuple(
        Reason(text=f"{r.name} leaves: {text}", is_for=True, cause=cause, inputs={"in_hand": _in_hand(r, scene)})
        for r in leavers
    )
    return Staffing(scene=scene.with_memory(memory), reasons=reasons)


def _budget(scene: Scene, too_many: int) -> tuple[Reason, ...]:
    """Why replicas that are not wanted stay, when it is for the disruption budget."""
    if too_many <= 0:
        return ()
    text = f"at least {scene.policy.heal.min_ready} stay ready, whatever is wanted"
    return (Reason(text=text, is_for=False, hold=Hold.BUDGET, inputs={"too_many": too_many}),)


def _is_useless(replica: ReplicaView, scene: Scene) -> bool:
    """A clone that is in quarantine, or was never ready, while there are enough without it."""
    departure = scene.memory.departures.get(replica.id)
    if departure is not None and departure.errand is not Errand.RESTART:
        return False
    verdict = scene.healths[replica.id].verdict
    return replica.is_clone and verdict in (Verdict.QUARANTINED, Verdict.NEVER_READY)


def _in_hand(replica: ReplicaView, scene: Scene) -> int:
    load = fresh_load(replica, scene.at)
    return load.requests + load.jobs + load.connections if load else 0
