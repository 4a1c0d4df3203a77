"""The arbiter: from what is known, what is remembered and what people want to the plan of one cycle. Pure; called by
loop/reconcile.py, by `supervisor plan` and by the simulation.

Each service has one operation at a time: a rollout goes before healing, healing before scaling down. In every case
replicas that are on their way out take their next step, and the load balancer's list follows who is ready.

    recollect -> commands -> intent -> rollout -> healing -> scaling -> staffing -> departures -> membership

Nothing is decided on half a picture: without Docker's answer the plan is empty. The same input gives the same plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from supervisor.domain import departures, healing, intent, membership, rollout, scaling, staffing, telling
from supervisor.domain.accept import accepted
from supervisor.domain.command import Command, Refusal
from supervisor.domain.health import Verdict
from supervisor.domain.memory import Memory, ServiceMemory
from supervisor.domain.plan import (
    Action,
    Cause,
    Hold,
    Outcome,
    Plan,
    Reason,
    ServiceVerdict,
    SetMembers,
    SignalReplica,
    StartReplica,
)
from supervisor.domain.policy import Policies, ServicePolicy
from supervisor.domain.recollection import PENDING_SECONDS, recollected
from supervisor.domain.rollout_request import is_running, owns
from supervisor.domain.scene import Scene
from supervisor.domain.snapshot import ContainerState, ServiceView, Snapshot
from supervisor.domain.staffing import Wish

# Docker keeps these alive, or they run once; a policy for them is an error that must not matter.
NEVER_TOUCHED = frozenset({"supervisor", "docker-guard", "migrate"})
# After a start that failed, so long until it is tried again.
START_AGAIN_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    plan: Plan
    memory: Memory
    refusals: tuple[Refusal, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Draft:
    """A service's cycle on its way through the arbiter."""

    scene: Scene
    actions: tuple[Action, ...] = ()
    reasons: tuple[Reason, ...] = ()
    weights: Mapping[str, int] | None = None
    is_owned: bool = False  # by a rollout
    due_at: float | None = None  # when something must be looked at again
    said: str = ""  # why scaling leaves the number as it is

    def after(self, scene: Scene, actions: tuple[Action, ...] = (), reasons: tuple[Reason, ...] = ()) -> _Draft:
        added = (*self.actions, *actions)
        return replace(self, scene=scene, actions=added, reasons=(*self.reasons, *reasons))


def decide(snapshot: Snapshot, memory: Memory, policies: Policies, commands: tuple[Command, ...]) -> Decision:
    """What to do now, what to remember, and which commands cannot be. Never raises for any snapshot."""
    if not snapshot.is_complete:
        return _blind(snapshot, memory, commands)
    actions: list[Action] = []
    verdicts: dict[str, ServiceVerdict] = {}
    services: dict[str, ServiceMemory] = {}
    due: list[float] = []
    names = {*snapshot.services, *(name for name in memory.services if _managed(name, policies) is not None)}
    there = {name for name in names if _managed(name, policies) is not None}
    refusals = [_nobody(command, policies, snapshot) for command in commands if command.service not in there]
    for name in sorted(names):
        service = snapshot.services.get(name) or ServiceView(name=name, replicas=())
        policy = _managed(name, policies)
        if policy is None:
            verdicts[name] = _untouched(service, policies)
            actions += _unlisted(name, snapshot)
            continue
        scene, refused = _commanded(service, memory.of(name), policy, snapshot, commands)
        refusals += refused
        draft = _arbitrated(scene, memory.of(name))
        services[name] = draft.scene.memory
        actions += draft.actions if policy.is_balanced else (*draft.actions, *_unlisted(name, snapshot))
        due += [draft.due_at] if draft.due_at is not None else []
        desired = _desired(draft.scene)
        argument = telling.argument(draft.actions, draft.reasons, draft.said)
        verdicts[name] = telling.verdict(draft.scene, desired, argument, draft.reasons)
    return Decision(
        plan=Plan(actions=_numbered(actions, memory.cycle), verdicts=verdicts, look_again_at=min(due, default=None)),
        memory=replace(memory, services={name: s for name, s in services.items() if _is_worth_keeping(s)}),
        refusals=tuple(refusals),
    )


def learn(memory: Memory, outcomes: tuple[Outcome, ...]) -> Memory:
    """The memory after a plan was carried out: what was signalled, and which starts failed."""
    services = dict(memory.services)
    for outcome in outcomes:
        action = outcome.action
        service = services.get(action.service)
        if service is None:
            continue
        match action:
            case SignalReplica() if outcome.is_done:
                services[action.service] = _signalled(service, action, outcome.at)
            case StartReplica() if not outcome.is_done:
                services[action.service] = _start_failed(service, action, outcome.at)
    return replace(memory, services=services)


def _signalled(service: ServiceMemory, action: SignalReplica, at: float) -> ServiceMemory:
    departure, known = service.departures.get(action.replica_id), service.replicas.get(action.replica_id)
    if departure is not None:
        is_kill = action.signal == "KILL"
        noted = replace(departure, killed_at=at) if is_kill else replace(departure, signalled_at=at)
        service = replace(service, departures={**service.departures, action.replica_id: noted})
    if known is not None:
        stopped = replace(known, is_own_stop=True)
        service = replace(service, replicas={**service.replicas, action.replica_id: stopped})
    return service


def _start_failed(service: ServiceMemory, action: StartReplica, at: float) -> ServiceMemory:
    """Keep it pending a little longer, so that it is not tried again at once; it may have happened after all."""
    tail = f"-{action.service}-{action.number}"
    since = at - PENDING_SECONDS + START_AGAIN_SECONDS
    pending = {name: since if name.endswith(tail) else begun for name, begun in service.pending_starts.items()}
    return replace(service, pending_starts=pending)


def _managed(name: str, policies: Policies) -> ServicePolicy | None:
    policy = policies.of(name)
    return None if policy is None or not policy.is_enabled or name in NEVER_TOUCHED else policy


def _commanded(
    service: ServiceView,
    before: ServiceMemory,
    policy: ServicePolicy,
    snapshot: Snapshot,
    commands: tuple[Command, ...],
) -> tuple[Scene, list[Refusal]]:
    """The scene with operators' commands in its memory."""
    scene = _scene(service, before, policy, snapshot)
    refusals: list[Refusal] = []
    for command in commands:
        if command.service != service.name:
            continue
        answer = accepted(command, scene)
        if isinstance(answer, Refusal):
            refusals.append(answer)
        else:
            scene = _scene(service, answer, policy, snapshot)
    return scene, refusals


def _scene(service: ServiceView, memory: ServiceMemory, policy: ServicePolicy, snapshot: Snapshot) -> Scene:
    memory, healths = recollected(service, memory, policy, snapshot)
    return Scene(service=service, memory=memory, policy=policy, snapshot=snapshot, healths=healths)


def _arbitrated(scene: Scene, before: ServiceMemory) -> _Draft:
    wished = intent.noticed(scene, before)
    draft = _Draft(scene=wished.scene, reasons=wished.reasons)
    if not wished.is_down or (is_running(draft.scene.memory) and not scene.service.replicas):
        draft = _rolled_out(draft)
    if not wished.is_down:
        draft = _healed_and_scaled(draft, before.desired)
    steps = departures.stepped(draft.scene)
    draft = replace(draft.after(steps.scene, steps.actions, steps.reasons), due_at=steps.due_at)
    listed = membership.set_members(draft.scene, draft.weights or {})
    return draft.after(draft.scene, (listed,) if listed else ())


def _rolled_out(draft: _Draft) -> _Draft:
    scene = draft.scene
    if not is_running(scene.memory):
        return draft
    step = rollout.advance(scene.service, scene.memory, scene.policy, scene.snapshot)
    scene = scene.with_memory(step.memory).departing(*step.departures)
    numbers = staffing.next_numbers(scene, len(step.start))
    starts = tuple(replace(start, number=number) for start, number in zip(step.start, numbers, strict=True))
    scene = staffing.with_pending(scene, starts)
    draft = draft.after(scene, (*starts, *step.tags), step.reasons)
    return replace(draft, weights=step.weights, is_owned=owns(scene.memory))


def _healed_and_scaled(draft: _Draft, desired_before: int | None) -> _Draft:
    healed = healing.healed(draft.scene, is_rollout=draft.is_owned)
    draft = draft.after(healed.scene, (), healed.reasons)
    if draft.is_owned:
        return draft
    scaled, wish = _scaled(draft, desired_before)
    if healed.under_way and wish.replicas <= _desired(draft.scene):
        draft, wish = _unscaled(draft, scaled.scene.memory, healed.under_way)
    else:
        draft = scaled  # more load does not wait until all are well
    staffed = staffing.staffed(draft.scene, wish, has_dependency_trouble=healed.trouble is not None)
    return draft.after(staffed.scene, staffed.actions, staffed.reasons)


def _unscaled(draft: _Draft, advised: ServiceMemory, ill: tuple[str, ...]) -> tuple[_Draft, Wish]:
    """The number stays while replicas are being healed; what scaling saw of the load is remembered."""
    memory = draft.scene.memory
    scene = draft.scene.with_memory(replace(advised, desired=memory.desired, downs=memory.downs))
    text = f"{' and '.join(ill)}: being healed, and nothing is taken away until then"
    draft = draft.after(scene, (), (Reason(text=text, is_for=False, hold=Hold.HEALING),))
    return draft, Wish(replicas=_desired(scene), cause=Cause.REPLACEMENT, why="it is missing")


def _scaled(draft: _Draft, desired_before: int | None) -> tuple[_Draft, Wish]:
    scene = draft.scene
    if not scene.can_clone:
        return draft, Wish(replicas=_desired(scene), cause=Cause.OPERATOR, why="")
    starting = len(scene.being(Verdict.STARTING)) + len(scene.memory.pending_starts)
    advice = scaling.recommend(scene.service, scene.memory, scene.policy, len(scene.ready), starting, scene.snapshot)
    draft = draft.after(scene.with_memory(advice.memory), (), advice.reasons)
    why = advice.why
    if advice.desired == scene.memory.desired:
        why = advice.why.partition(": ")[2]  # without "stays at 3"
        draft = replace(draft, said=why)
    is_held = advice.memory.manual_hold_until is not None
    wish = Wish(
        replicas=advice.desired,
        cause=Cause.OPERATOR if is_held and advice.desired == advice.memory.manual_replicas else advice.cause,
        why=why,
        is_new=advice.desired != desired_before,
        is_held=is_held,
    )
    return draft, wish


def _desired(scene: Scene) -> int:
    return len(scene.service.replicas) if scene.memory.desired is None else scene.memory.desired


def _untouched(service: ServiceView, policies: Policies) -> ServiceVerdict:
    running = sum(r.state is ContainerState.RUNNING for r in service.replicas)
    ready = sum(r.state is ContainerState.RUNNING and r.health in ("none", "healthy") for r in service.replicas)
    why = "switched off in its policy" if policies.of(service.name) else "without a policy"
    text = f"{running} running, {why}: shown and never touched"
    return telling.silent_verdict(service.name, running, ready, text, Hold.DISABLED)


def _unlisted(name: str, snapshot: Snapshot) -> list[Action]:
    """An empty list for a service that we no longer keep one for: NGINX then finds its replicas by itself."""
    if snapshot.balancer is None or not snapshot.balancer.members.get(name):
        return []
    why = "its list is not kept any more: the load balancer finds the replicas by itself"
    return [SetMembers(id="", service=name, cause=Cause.OPERATOR, why=why, members=())]


def _blind(snapshot: Snapshot, memory: Memory, commands: tuple[Command, ...]) -> Decision:
    """Docker could not be asked: nothing is done, and nothing is forgotten."""
    why = "; ".join(snapshot.problems) or "Docker does not answer"
    text = f"not known now ({why}): nothing is done"
    verdicts = {
        name: telling.silent_verdict(name, len(service.replicas), _last_ready(memory.of(name)), text, Hold.INCOMPLETE)
        for name, service in snapshot.services.items()
    }
    refusals = tuple(
        Refusal(command=c, code="runtime_unavailable", status=503, text=f"Nothing can be done now: {why}.")
        for c in commands
    )
    return Decision(plan=Plan(verdicts=verdicts), memory=memory, refusals=refusals)


def _last_ready(memory: ServiceMemory) -> int:
    return sum(known.ready_since is not None for known in memory.replicas.values())


def _nobody(command: Command, policies: Policies, snapshot: Snapshot) -> Refusal:
    name = command.service
    if _managed(name, policies) is not None:
        text = f"{name} has no container; start it with docker compose up."
        return Refusal(command=command, code="not_running", status=409, text=text)
    if name in snapshot.services:
        text = f"{name} has no policy that lets the supervisor touch it."
        return Refusal(command=command, code="not_managed", status=409, text=text)
    return Refusal(command=command, code="service_unknown", status=404, text=f"There is no service {name}.")


def _is_worth_keeping(service: ServiceMemory) -> bool:
    """A service that is gone is forgotten, but for the story of its last rollout and what an operator set."""
    return bool(service.replicas or service.pauses or service.rollout or service.down_since is not None)


def _numbered(actions: list[Action], cycle: int) -> tuple[Action, ...]:
    """With ids that are the same whenever the same is decided in the same cycle."""
    return tuple(replace(action, id=f"{cycle}-{n}") for n, action in enumerate(actions, start=1))
