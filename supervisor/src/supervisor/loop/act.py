"""Carries out a plan, and decides nothing. Called by reconcile.

In the order of safety: first the load balancer's lists, of all services in one reload, so that nothing is sent to what
is about to go; then in each service starts, signals, removals and tags. Services do not wait for each other. What
fails does not keep the rest from being done: each action of a plan is safe on its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from supervisor.domain.plan import (
    Action,
    Outcome,
    Plan,
    RemoveReplica,
    SetMembers,
    SignalReplica,
    StartReplica,
    StartStopped,
    TagImage,
)
from supervisor.ports import Clock, ContainerRuntime, LoadBalancer, Refused, Unavailable

ACTION_SECONDS = 15.0
STAGES: tuple[tuple[type[Action], ...], ...] = (
    (StartReplica, StartStopped),
    (SignalReplica,),
    (RemoveReplica,),
    (TagImage,),
)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Actors:
    runtime: ContainerRuntime
    balancer: LoadBalancer
    clock: Clock
    action_seconds: float = ACTION_SECONDS


async def act(plan: Plan, actors: Actors) -> tuple[Outcome, ...]:
    """One outcome an action, in the order of the plan. Never raises."""
    members = [action for action in plan.actions if isinstance(action, SetMembers)]
    outcomes = await _set_members(members, actors)
    services = dict.fromkeys(action.service for action in plan.actions)
    for done in await asyncio.gather(*(_act_on(service, plan, actors) for service in services)):
        outcomes.update(done)
    return tuple(outcomes[id(action)] for action in plan.actions)


def cause_of(action: Action) -> str:
    """What the audit log of the engine's gate shows, and a clone's label."""
    return f"{action.id} {action.cause.value}: {action.why}"


async def _set_members(actions: Sequence[SetMembers], actors: Actors) -> dict[int, Outcome]:
    if not actions:
        return {}

    async def write() -> str:
        lists = {action.service: action.members for action in actions}
        await actors.balancer.set_members(lists, cause="; ".join(cause_of(action) for action in actions))
        return ""

    outcomes = await asyncio.gather(_timed(actions[0], write, actors))
    return {id(action): _same(outcomes[0], action) for action in actions}


def _same(outcome: Outcome, action: Action) -> Outcome:
    return Outcome(
        action=action,
        is_done=outcome.is_done,
        at=outcome.at,
        duration_seconds=outcome.duration_seconds,
        error=outcome.error,
    )


async def _act_on(service: str, plan: Plan, actors: Actors) -> dict[int, Outcome]:
    outcomes: dict[int, Outcome] = {}
    for kinds in STAGES:
        actions = [action for action in plan.actions if action.service == service and isinstance(action, kinds)]
        done = await asyncio.gather(*(_timed(action, _effect(action, actors.runtime), actors) for action in actions))
        outcomes.update({id(outcome.action): outcome for outcome in done})
    return outcomes


def _effect(action: Action, runtime: ContainerRuntime) -> Callable[[], Awaitable[str]]:
    """What to await for it; gives the id of a new container, else nothing."""
    cause = cause_of(action)

    async def effect() -> str:
        match action:
            case StartReplica():
                return await runtime.start_replica(
                    action.template_id, number=action.number, image=action.image, cause=cause
                )
            case StartStopped():
                await runtime.start_stopped(action.replica_id, cause=cause)
            case SignalReplica():
                await runtime.signal(action.replica_id, action.signal, cause=cause)
            case RemoveReplica():
                await runtime.remove(action.replica_id, cause=cause)
            case TagImage():
                await runtime.tag_image(action.image_id, action.reference, cause=cause)
        return ""

    return effect


async def _timed(action: Action, effect: Callable[[], Awaitable[str]], actors: Actors) -> Outcome:
    began = actors.clock.now()
    error, replica_id = "", ""
    try:
        async with asyncio.timeout(actors.action_seconds):
            replica_id = await effect()
    except (Refused, Unavailable) as refusal:
        error = str(refusal)
    except TimeoutError:
        error = f"no answer within {actors.action_seconds:g} s; it may have happened"
    except Exception as fault:
        log.exception("action_failed", action=action.id)
        error = repr(fault)
    now = actors.clock.now()
    return Outcome(
        action=action, is_done=not error, at=now, duration_seconds=now - began, error=error, replica_id=replica_id
    )
