"""Takes an operator's command up into the memory, or says why it cannot be. Called by decide.py before it decides.

What is accepted takes effect through the same decisions as everything else: a number is held, a restart is a departure.
"""

from __future__ import annotations

from dataclasses import replace

from supervisor.domain.command import (
    Command,
    Deploy,
    DrainOne,
    Pause,
    Refusal,
    RestartOne,
    Resume,
    RollBack,
    ScaleTo,
)
from supervisor.domain.health import Verdict
from supervisor.domain.memory import Departure, Errand, ServiceMemory
from supervisor.domain.plan import Cause
from supervisor.domain.rollout_request import begin, owns
from supervisor.domain.scaling_host import room_for
from supervisor.domain.scene import Scene
from supervisor.domain.snapshot import ContainerState, ReplicaView

DIRECTIONS = ("in", "out", "all")


def accepted(command: Command, scene: Scene) -> ServiceMemory | Refusal:
    """The service's memory with the command in it."""
    match command:
        case ScaleTo():
            return _scale(command, scene)
        case RestartOne():
            return _restart(command, scene)
        case DrainOne():
            return _drain(command, scene)
        case Deploy() | RollBack():
            if not scene.can_clone:
                return _refused(command, "not_cloned", 409, f"{scene.name} is not behind the load balancer.")
            return begin(scene.memory, command, scene.service, scene.snapshot)
        case Pause():
            return _pause(command, scene)
        case Resume():
            return _resumed(scene.memory, scene.at)
        case _:
            return _refused(command, "unknown_command", 422, "There is no such command.")


def _refused(command: Command, code: str, status: int, text: str) -> Refusal:
    return Refusal(command=command, code=code, status=status, text=text)


def _scale(command: ScaleTo, scene: Scene) -> ServiceMemory | Refusal:
    scale, wanted = scene.policy.scale, command.replicas
    if not scale.is_enabled:
        return _refused(command, "scaling_disabled", 409, f"Scaling of {scene.name} is off in its policy.")
    if not scale.min <= wanted <= scale.max:
        text = f"{scene.name} may have {scale.min} to {scale.max} replicas, not {wanted}."
        return _refused(command, "out_of_bounds", 422, text)
    if not any(_is_meant_to_run(r, scene) for r in scene.service.replicas):
        text = f"No replica of {scene.name} runs; start it with docker compose up."
        return _refused(command, "not_running", 409, text)
    if owns(scene.memory):
        return _refused(command, "rollout_running", 409, f"A rollout of {scene.name} is running.")
    room = room_for(scene.service, scene.memory, scale, scene.snapshot)
    if room.replicas is not None and wanted > len(scene.service.replicas) and wanted > len(scene.ready) + room.replicas:
        text = f"{wanted} replicas of {scene.name} do not fit on this host: {room.text}."
        return _refused(command, "host_saturated", 409, text)
    seconds = scale.manual_hold_seconds if command.hold_seconds is None else command.hold_seconds
    return replace(scene.memory, desired=wanted, manual_replicas=wanted, manual_hold_until=scene.at + seconds)


def _is_meant_to_run(replica: ReplicaView, scene: Scene) -> bool:
    """It runs, or is stopped only because we stopped it to start it again."""
    return replica.id in scene.memory.departures or replica.state in (ContainerState.RUNNING, ContainerState.RESTARTING)


def _replica(command: RestartOne | DrainOne, scene: Scene) -> ReplicaView | Refusal:
    replica = next((r for r in scene.service.replicas if r.id == command.replica_id), None)
    if replica is None:
        return _refused(command, "replica_unknown", 404, f"{scene.name} has no such replica.")
    return replica


def _restart(command: RestartOne, scene: Scene) -> ServiceMemory | Refusal:
    replica = _replica(command, scene)
    if isinstance(replica, Refusal):
        return replica
    known, departure = scene.memory.replicas[replica.id], scene.memory.departures.get(replica.id)
    if known.quarantined_until is not None and departure is not None and departure.errand is Errand.RESTART:
        freed = replace(known, quarantined_until=scene.at, waits_for=())
        return replace(scene.memory, replicas={**scene.memory.replicas, replica.id: freed})
    if departure is not None and departure.errand is not Errand.DRAIN:
        return _refused(command, "on_its_way", 409, f"{replica.name} is on its way already: {departure.why}")
    if _would_break_budget(replica, scene) and scene.can_clone:
        return _over_budget(command, replica, scene)
    return _sent(scene, replica, Errand.RESTART, f"{command.by} asked for a restart")


def _drain(command: DrainOne, scene: Scene) -> ServiceMemory | Refusal:
    replica = _replica(command, scene)
    if isinstance(replica, Refusal):
        return replica
    if not scene.policy.is_balanced:
        return _refused(command, "not_balanced", 409, f"{scene.name} is not behind the load balancer.")
    departure = scene.memory.departures.get(replica.id)
    if departure is not None:
        return _refused(command, "on_its_way", 409, f"{replica.name} is out of the list already: {departure.why}")
    if _would_break_budget(replica, scene):
        return _over_budget(command, replica, scene)
    return _sent(scene, replica, Errand.DRAIN, f"{command.by} asked for it to be drained")


def _would_break_budget(replica: ReplicaView, scene: Scene) -> bool:
    return scene.healths[replica.id].verdict is Verdict.READY and scene.spare < 1


def _over_budget(command: Command, replica: ReplicaView, scene: Scene) -> Refusal:
    count = scene.policy.heal.min_ready
    text = f"Without {replica.name} fewer than {count} would be ready. Scale {scene.name} up first."
    return _refused(command, "budget", 409, text)


def _sent(scene: Scene, replica: ReplicaView, errand: Errand, why: str) -> ServiceMemory:
    """On its way by an operator's wish; what it did before no longer counts against it."""
    known = replace(scene.memory.replicas[replica.id], restart_times=(), failed_restarts=0, next_attempt_at=0.0)
    departure = Departure(replica_id=replica.id, errand=errand, cause=Cause.OPERATOR, why=why, since=scene.at)
    return replace(
        scene.memory,
        replicas={**scene.memory.replicas, replica.id: known},
        departures={**scene.memory.departures, replica.id: departure},
    )


def _pause(command: Pause, scene: Scene) -> ServiceMemory | Refusal:
    if command.direction not in DIRECTIONS or command.seconds <= 0:
        text = f"A pause is of {', '.join(DIRECTIONS)}, for a number of seconds."
        return _refused(command, "bad_pause", 422, text)
    until = scene.at + command.seconds
    return replace(scene.memory, pauses={**scene.memory.pauses, command.direction: until})


def _resumed(memory: ServiceMemory, now: float) -> ServiceMemory:
    """Without pauses, the held number, operators' drains and quarantines."""
    freed = {
        id_: replace(known, quarantined_until=now, waits_for=())
        for id_, known in memory.replicas.items()
        if known.quarantined_until is not None and known.quarantined_until > now
    }
    return replace(
        memory,
        pauses={},
        manual_hold_until=None,
        manual_replicas=None,
        departures={id_: d for id_, d in memory.departures.items() if d.errand is not Errand.DRAIN},
        replicas={**memory.replicas, **freed},
    )
