"""Notices what people did with Compose or Docker, and takes it as their wish. Called by decide.py before anything else
is decided.

Another number of containers than in the last complete cycle, and not by our doing, is `up --scale`: that number is kept
for the manual hold. Everything stopped or gone is `down` or `stop`: our clones go too, and nothing is started again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from supervisor.domain.health import LEFT_ALONE
from supervisor.domain.memory import Departure, Errand, ServiceMemory
from supervisor.domain.plan import Cause, Hold, Reason
from supervisor.domain.scene import Scene
from supervisor.domain.snapshot import ContainerState, ReplicaView

# A container that Compose has made and not started yet: it is in the middle of something.
UNSETTLED_SECONDS = 60.0
# A clone that was made while the others were being stopped, or this shortly before, does not say that somebody wants
# the service to run: Compose did not know of it when it began its `down`. Draining, that takes up to a minute.
UNKNOWN_TO_COMPOSE_SECONDS = 10.0
ENDING_TOGETHER_SECONDS = 60.0
# Between the first look that finds everything stopped and the conclusion: a recreation passes through this, too.
DOWN_SECONDS = 4.0
_ALIVE = (ContainerState.RUNNING, ContainerState.RESTARTING, ContainerState.PAUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    scene: Scene
    reasons: tuple[Reason, ...] = ()
    is_down: bool = False  # then nothing is healed, scaled or started


def noticed(scene: Scene, before: ServiceMemory) -> Intent:
    """`before`: the memory of the last cycle, which still knows what we were removing."""
    present = frozenset(r.id for r in scene.service.replicas)
    known = scene.memory.known_ids - (_leaving(before) - present)
    memory = replace(scene.memory, known_ids=known)
    if _is_down(scene.with_memory(memory), _stops(scene, before, vanished=known - present)):
        return _down(scene.with_memory(memory))
    memory = replace(memory, down_since=None)
    if any(_is_unsettled(r, scene) for r in scene.service.replicas):
        return Intent(scene=scene.with_memory(memory))
    settled = scene.with_memory(replace(memory, known_ids=present))
    if memory.desired is None or not known:  # seen for the first time, or started from nothing: nobody's wish to keep
        count = len(present - _leaving(memory))
        return Intent(scene=settled.with_memory(replace(settled.memory, desired=count)))
    appeared = present - known - {r.id for r in scene.service.replicas if r.is_clone}
    if len(appeared) == len(known - present):
        return Intent(scene=settled)
    return _scaled_by_person(settled, len(present))


def _scaled_by_person(scene: Scene, count: int) -> Intent:
    if not scene.can_clone:
        return Intent(scene=scene.with_memory(replace(scene.memory, desired=count)))
    hold = scene.policy.scale.manual_hold_seconds
    memory = replace(scene.memory, desired=count, manual_replicas=count, manual_hold_until=scene.at + hold)
    reason = Reason(
        text=f"a person changed the number of replicas to {count}: kept for {hold:g} s",
        is_for=True,
        cause=Cause.OPERATOR,
        inputs={"replicas": count, "seconds": hold},
    )
    return Intent(scene=scene.with_memory(memory), reasons=(reason,))


def _stops(scene: Scene, before: ServiceMemory, vanished: frozenset[str]) -> tuple[float, ...]:
    """When other people stopped or removed replicas, and when it was first seen that nothing is left."""
    since = scene.memory.down_since
    leaving = _leaving(scene.memory)  # those that we stopped say nothing about people
    known = [scene.memory.replicas[r.id] for r in scene.service.replicas if r.id not in leaving]
    ended = [k for k in known if scene.healths[k.replica_id].verdict in LEFT_ALONE]
    ended += [before.replicas[id_] for id_ in vanished if id_ in before.replicas]
    times = [scene.at if k.unready_since is None else k.unready_since for k in ended]
    times += [scene.at] if vanished and since is None else []
    return (*times, *([since] if since is not None else []))


def _is_down(scene: Scene, stops: tuple[float, ...]) -> bool:
    """Whether nothing is left that somebody wants, and that is other people's doing."""
    if any(_is_wanted(r, scene, stops) for r in scene.service.replicas):
        return False
    return bool(stops) or not scene.service.replicas


def _is_wanted(replica: ReplicaView, scene: Scene, stops: tuple[float, ...]) -> bool:
    """Whether it runs, or is stopped only because we stopped it to start it again."""
    departure = scene.memory.departures.get(replica.id)
    if departure is not None and departure.errand is Errand.RESTART:
        return True
    if departure is not None and departure.cause is Cause.PROJECT_DOWN:
        return False
    known = scene.memory.replicas[replica.id]
    if replica.is_clone and any(_is_of_then(known.first_seen, stop) for stop in stops):
        return False
    if replica.state is ContainerState.CREATED:
        return not replica.is_clone and scene.at - known.first_seen < UNSETTLED_SECONDS
    return replica.state in _ALIVE


def _is_of_then(made: float, stop: float) -> bool:
    return stop - UNKNOWN_TO_COMPOSE_SECONDS <= made <= stop + ENDING_TOGETHER_SECONDS


def _is_unsettled(replica: ReplicaView, scene: Scene) -> bool:
    if replica.state is not ContainerState.CREATED or replica.is_clone:
        return False
    return scene.at - scene.memory.replicas[replica.id].first_seen < UNSETTLED_SECONDS


def _leaving(memory: ServiceMemory) -> frozenset[str]:
    return frozenset(id_ for id_, departure in memory.departures.items() if departure.errand is Errand.REMOVE)


def _down(scene: Scene) -> Intent:
    since = scene.at if scene.memory.down_since is None else scene.memory.down_since
    memory = replace(scene.memory, down_since=since)
    text = "nobody left of it that a person did not stop: nothing is started again"
    reason = Reason(text=text, is_for=False, hold=Hold.STOPPED_BY_PERSON)
    if scene.at - since < DOWN_SECONDS:
        return Intent(scene=scene.with_memory(memory), reasons=(reason,), is_down=True)
    leaving = {id_: d for id_, d in memory.departures.items() if d.cause is Cause.PROJECT_DOWN}
    memory = replace(
        memory,
        desired=None,
        known_ids=frozenset(),
        manual_replicas=None,
        manual_hold_until=None,
        pending_starts={},
        departures=leaving,
    )
    # After a rollout all are clones; those that a person stopped are then what `docker compose start` starts again.
    is_of_compose = any(not r.is_clone for r in scene.service.replicas)
    farewells = (
        Departure(
            replica_id=r.id,
            errand=Errand.REMOVE,
            cause=Cause.PROJECT_DOWN,
            why="the service was taken down, and this replica was added by the supervisor",
            since=since,
        )
        for r in scene.service.replicas
        if r.is_clone and (is_of_compose or scene.healths[r.id].verdict not in LEFT_ALONE)
    )
    return Intent(scene=scene.with_memory(memory).departing(*farewells), reasons=(reason,), is_down=True)
