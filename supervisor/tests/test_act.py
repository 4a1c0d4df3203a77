"""A plan is carried out in the order of safety; what fails does not keep the rest from being done."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from supervisor.domain.plan import (
    Cause,
    Plan,
    RemoveReplica,
    SetMembers,
    SignalReplica,
    StartReplica,
    StartStopped,
    TagImage,
)
from supervisor.domain.snapshot import Member
from supervisor.loop.act import Actors, act
from supervisor.ports import Unavailable
from tests.fixtures.supervisor_fakes import FakeBalancer, FakeRuntime
from tests.fixtures.supervisor_world import Container, FakeService, FakeWorld


class Ground:
    def __init__(self) -> None:
        self.world = FakeWorld()
        for name in ("backend", "frontend"):
            self.world.up(FakeService(name=name, image=f"modporter/{name}:modporter"), 3)
        self.runtime = FakeRuntime(self.world)
        self.balancer = NotingBalancer(self.world, self.runtime)

    def replica(self, service: str, number: int) -> Container:
        return self.world.of(service)[number - 1]

    def actors(self, **changes: Any) -> Actors:
        return Actors(runtime=self.runtime, balancer=self.balancer, clock=self.world.clock, **changes)


class NotingBalancer(FakeBalancer):
    def __init__(self, world: FakeWorld, runtime: FakeRuntime) -> None:
        super().__init__(world)
        self.runtime = runtime
        self.is_away = False
        self.causes: list[str] = []

    async def set_members(self, members: Mapping[str, Sequence[Member]], *, cause: str) -> int:
        self.causes.append(cause)
        self.runtime.calls.append(("set_members", ",".join(members), cause))
        if self.is_away:
            raise Unavailable("the lists cannot be written")
        return await super().set_members(members, cause=cause)


def common(number: int, service: str = "backend") -> dict[str, Any]:
    return {"id": f"7-{number}", "service": service, "cause": Cause.SURPLUS, "why": "one too many"}


def members(number: int, service: str) -> SetMembers:
    return SetMembers(**common(number, service), members=(Member(replica_id="r", address="10.0.0.1:8000"),))


async def test_lists_come_first_in_one_reload_then_starts_signals_removals_and_tags() -> None:
    ground = Ground()
    gone = ground.replica("backend", 3)
    ground.world.stop(gone)
    image_id = ground.world.images["modporter/backend:modporter"]
    plan = Plan(
        actions=(
            TagImage(**common(1), image_id=image_id, reference="modporter/backend:modporter"),
            RemoveReplica(**common(2), replica_id=gone.id),
            SignalReplica(**common(3), replica_id=ground.replica("backend", 2).id, signal="TERM"),
            StartReplica(**common(4), template_id=ground.replica("backend", 1).id, number=4),
            members(5, "backend"),
            members(6, "frontend"),
        )
    )
    outcomes = await act(plan, ground.actors())
    assert [method for method, _, _ in ground.runtime.calls] == [
        "set_members",
        "start_replica",
        "signal_TERM",
        "remove",
        "tag_image",
    ]
    assert [outcome.action for outcome in outcomes] == list(plan.actions)
    assert all(outcome.is_done for outcome in outcomes), outcomes
    new = ground.world.by_name("modporter-backend-4")
    assert new is not None
    assert outcomes[3].replica_id == new.id
    assert ground.balancer.written == 1


async def test_every_call_carries_its_action_and_cause() -> None:
    ground = Ground()
    plan = Plan(actions=(members(1, "backend"), StartStopped(**common(2), replica_id=ground.replica("backend", 1).id)))
    await act(plan, ground.actors())
    assert [cause for _, _, cause in ground.runtime.calls] == [
        "7-1 surplus: one too many",
        "7-2 surplus: one too many",
    ]


async def test_what_is_refused_fails_alone() -> None:
    ground = Ground()
    plan = Plan(
        actions=(
            RemoveReplica(**common(1), replica_id=ground.replica("backend", 1).id),  # it runs
            SignalReplica(**common(2), replica_id="nobody", signal="TERM"),
            SignalReplica(**common(3, "frontend"), replica_id=ground.replica("frontend", 1).id, signal="KILL"),
        )
    )
    outcomes = await act(plan, ground.actors())
    assert [outcome.is_done for outcome in outcomes] == [False, False, True]
    assert "is running" in outcomes[0].error
    assert "no such container" in outcomes[1].error


async def test_a_replica_that_vanished_is_removed_already() -> None:
    ground = Ground()
    outcomes = await act(Plan(actions=(RemoveReplica(**common(1), replica_id="nobody"),)), ground.actors())
    assert outcomes[0].is_done


async def test_lists_that_cannot_be_written_are_told_for_each_service_and_the_rest_is_done() -> None:
    ground = Ground()
    ground.balancer.is_away = True
    plan = Plan(
        actions=(
            members(1, "backend"),
            members(2, "frontend"),
            StartReplica(**common(3), template_id=ground.replica("backend", 1).id, number=4),
        )
    )
    outcomes = await act(plan, ground.actors())
    assert [outcome.error for outcome in outcomes] == ["the lists cannot be written", "the lists cannot be written", ""]


class SlowRuntime(FakeRuntime):
    async def signal(self, replica_id: str, signal: str, *, cause: str) -> None:
        if self._find(replica_id).service.name == "backend":
            await asyncio.sleep(30)
        await super().signal(replica_id, signal, cause=cause)


async def test_a_service_does_not_wait_for_another_and_nobody_longer_than_the_time_of_an_action() -> None:
    ground = Ground()
    ground.runtime = SlowRuntime(ground.world)
    plan = Plan(
        actions=(
            SignalReplica(**common(1), replica_id=ground.replica("backend", 1).id, signal="TERM"),
            SignalReplica(**common(2, "frontend"), replica_id=ground.replica("frontend", 1).id, signal="TERM"),
        )
    )
    acting = asyncio.create_task(act(plan, ground.actors(action_seconds=1.5)))
    async with asyncio.timeout(20):
        while not ground.runtime.calls:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.01)
    assert not acting.done()
    assert [name for _, name, _ in ground.runtime.calls] == ["modporter-frontend-1"]
    outcomes = await acting
    assert [outcome.is_done for outcome in outcomes] == [False, True]
    assert outcomes[0].error == "no answer within 1.5 s; it may have happened"


async def test_a_fault_is_an_outcome() -> None:
    ground = Ground()

    def fail(_method: str, _target: str) -> None:
        raise ZeroDivisionError

    ground.runtime.before = fail
    plan = Plan(actions=(SignalReplica(**common(1), replica_id=ground.replica("backend", 1).id, signal="TERM"),))
    outcomes = await act(plan, ground.actors())
    assert outcomes[0].error == "ZeroDivisionError()"


async def test_an_empty_plan_touches_nothing() -> None:
    ground = Ground()
    assert await act(Plan(), ground.actors()) == ()
    assert ground.runtime.calls == []
