"""Begins a rollout, or says why not; turns a running one round. Called by rollout.py's callers through that module."""

from __future__ import annotations

from dataclasses import replace

from supervisor.domain import rollout_fleet as fleets
from supervisor.domain.command import Command, Deploy, Refusal, RollBack
from supervisor.domain.memory import Rollout, RolloutPhase, ServiceMemory
from supervisor.domain.snapshot import ServiceView, Snapshot

_MOVING = frozenset({"local", "latest"})  # tags that denote another image tomorrow
_FINISHED = frozenset({RolloutPhase.DONE, RolloutPhase.ROLLED_BACK})


def is_running(memory: ServiceMemory) -> bool:
    """Whether a rollout has not come to its end yet."""
    return memory.rollout is not None and memory.rollout.phase not in _FINISHED


def owns(memory: ServiceMemory) -> bool:
    """Whether the rollout alone decides how many replicas there are. While baking, scaling and healing do again."""
    return is_running(memory) and memory.rollout is not None and memory.rollout.phase is not RolloutPhase.BAKING


def begin(memory: ServiceMemory, command: Command, service: ServiceView, snapshot: Snapshot) -> ServiceMemory | Refusal:
    """Take a Deploy or RollBack up. The memory with the rollout in it, or why not."""
    if isinstance(command, RollBack) and is_running(memory):
        if memory.rollout is not None and memory.rollout.phase is RolloutPhase.ROLLING_BACK:
            return _refusal(command, "rollout_running", f"{service.name} is being rolled back already.")
        return roll_back(memory, f"{command.by} asked for it", snapshot.at)
    image, image_id = _wanted(memory, command)
    refusal = _obstacle(memory, command, service, snapshot, image, image_id)
    if refusal is not None:
        return refusal
    previous, previous_id = _current(memory, service, snapshot.project)
    count = sum(not fleets.is_stopped(view) for view in service.replicas)
    rollout = Rollout(
        id=command.id,
        service=service.name,
        image=image,
        image_id=image_id,
        previous_image=previous,
        previous_image_id=previous_id,
        by=command.by,
        phase=RolloutPhase.STARTING,
        started_at=snapshot.at,
        phase_since=snapshot.at,
        replicas=max(1, count if memory.desired is None else memory.desired),
        is_quick=isinstance(command, RollBack),
    )
    return replace(memory, rollout=rollout)


def roll_back(memory: ServiceMemory, why: str, at: float) -> ServiceMemory:
    """Turn a running rollout round; one that is over or turned round already stays as it is."""
    rollout = memory.rollout
    if rollout is None or not is_running(memory) or rollout.phase is RolloutPhase.ROLLING_BACK:
        return memory
    turned = replace(rollout, phase=RolloutPhase.ROLLING_BACK, phase_since=at, step_since=None, verdict=why)
    return replace(memory, rollout=turned)


def id_tag(image_id: str) -> str:
    """A tag that denotes one image for ever."""
    return image_id.removeprefix("sha256:")[:16]


def repository(reference: str) -> str:
    """modporter/backend of modporter/backend:tag; a port in a registry's address is no tag."""
    head, separator, tail = reference.rpartition(":")
    return head if separator and "/" not in tail else reference


def _wanted(memory: ServiceMemory, command: Command) -> tuple[str, str]:
    if isinstance(command, Deploy):
        return command.image, command.image_id
    last = memory.rollout
    return (last.previous_image, last.previous_image_id) if last and last.phase is RolloutPhase.DONE else ("", "")


def _current(memory: ServiceMemory, service: ServiceView, project: str) -> tuple[str, str]:
    """The image that most replicas run, and a name that it keeps: that of its rollout, or one made from its id."""
    ids = [view.image_id for view in service.replicas]
    most = max(ids, key=ids.count)
    names = {}
    if memory.rollout is not None:
        names[memory.rollout.previous_image_id] = memory.rollout.previous_image
        names[memory.rollout.image_id] = memory.rollout.image
    name = names.get(most, "")
    tag = name.rpartition(":")[2]
    if not name or tag in _MOVING or tag.startswith(project):
        name = f"{_repository_of(service)}:{id_tag(most)}"
    return name, most


def _repository_of(service: ServiceView) -> str:
    """Of the image's name; some clones have only its id."""
    names = [view.image for view in service.replicas if not view.image.startswith("sha256:")]
    return repository(names[0]) if names else ""


def _obstacle(
    memory: ServiceMemory, command: Command, service: ServiceView, snapshot: Snapshot, image: str, image_id: str
) -> Refusal | None:
    name = service.name
    if is_running(memory):
        return _refusal(command, "rollout_running", f"A rollout of {name} runs already; wait for it or roll it back.")
    if not snapshot.is_complete:
        return _refusal(command, "docker_away", "Docker does not answer at the moment; try again.", 503)
    if not image_id:
        if isinstance(command, RollBack):
            return _refusal(command, "nothing_before", f"No image of {name} is known that ran before this one.")
        return _refusal(command, "unknown_image", f"There is no image {image}.", 422)
    if not any(not fleets.is_stopped(view) for view in service.replicas):
        return _refusal(command, "not_running", f"No replica of {name} runs; start it with docker compose up.")
    if repository(image) != _repository_of(service):
        return _refusal(command, "wrong_image", f"{image} is no image of {name}.", 422)
    if all(view.image_id == image_id for view in service.replicas):
        return _refusal(command, "already_runs", f"{name} already runs {image}.")
    if memory.pauses.get("all", 0.0) > snapshot.at:
        return _refusal(command, "paused", f"{name} is paused; resume it first.")
    return None


def _refusal(command: Command, code: str, text: str, status: int = 409) -> Refusal:
    return Refusal(command=command, code=code, status=status, text=text)
