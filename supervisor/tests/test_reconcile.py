"""The loop itself: what it saves before it acts, what it survives, when it looks, and who may act."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from supervisor.domain.command import Deploy, Refusal, RestartOne, ScaleTo
from supervisor.domain.decide import Decision
from supervisor.domain.memory import Memory
from supervisor.domain.plan import Cause, Plan, SignalReplica, StartReplica
from supervisor.domain.snapshot import Snapshot
from supervisor.loop import reconcile as module
from supervisor.loop.reconcile import Reconcile
from supervisor.ports import CycleReport
from tests.fixtures.supervisor_fakes import FakeHistory
from tests.fixtures.supervisor_loop import Stage, balanced


async def backends(replicas: int = 2) -> Stage:
    stage = Stage()
    stage.serve("backend", replicas)
    await stage.run(10)
    assert stage.is_whole("backend", replicas)
    stage.runtime.calls.clear()
    return stage


def parts_of(stage: Stage, **changes: Any) -> Reconcile:
    return Reconcile(replace(stage.loop._parts, **changes))


class Sink:
    def __init__(self) -> None:
        self.reports: list[CycleReport] = []

    def publish(self, report: CycleReport) -> None:
        self.reports.append(report)


class BrokenSink:
    def publish(self, report: CycleReport) -> None:
        raise ZeroDivisionError


# -- memory ------------------------------------------------------------------------------------------------------------


async def test_the_memory_is_on_the_disk_before_anything_is_done() -> None:
    stage = await backends()
    saved: list[Memory | None] = []
    stage.runtime.before = lambda _method, _target: saved.append(stage.history.memory)
    await stage.command(ScaleTo(id="1", service="backend", by="token", replicas=3))
    assert stage.calls("start_replica") == ["backend-3"]
    assert saved[0] is not None
    assert saved[0].of("backend").desired == 3


class CountingHistory(FakeHistory):
    saves = 0

    async def save_memory(self, memory: Memory) -> bool:
        self.saves += 1
        return await super().save_memory(memory)


async def test_a_memory_in_which_nothing_lasting_changed_is_saved_now_and_then() -> None:
    stage = Stage()
    history = CountingHistory()
    stage.history, stage.loop = history, parts_of(stage, history=history)
    stage.serve("backend", 2)
    await stage.run(10)
    history.saves = 0
    await stage.run(40)
    assert len(stage.reports) >= 20
    assert 3 <= history.saves <= 6


async def test_the_numbers_of_cycles_go_on_with_the_next_supervisor() -> None:
    stage = await backends()
    last = stage.reports[-1].cycle
    await stage.run(11)
    stage.restart_supervisor()
    assert (await stage.cycle()).cycle > last


# -- what fails --------------------------------------------------------------------------------------------------------


class BrokenHistory(FakeHistory):
    async def load_memory(self) -> Memory | None:
        raise OSError("disk")

    async def save_memory(self, memory: Memory) -> bool:
        raise OSError("disk")

    async def record(self, report: CycleReport) -> None:
        raise OSError("disk")


async def test_a_history_that_fails_in_every_way_stops_nothing_and_is_told() -> None:
    stage = Stage()
    stage.loop = parts_of(stage, history=BrokenHistory(), sinks=(BrokenSink(),))
    stage.serve("backend", 2)
    with capture_logs() as told:  # and not written: the tracebacks are long
        for _ in range(3):
            stage.world.advance(1)
            await stage.cycle()
    assert {"memory_not_loaded", "memory_not_saved", "report_not_recorded", "report_not_published"} <= {
        line["event"] for line in told
    }
    await stage.command(ScaleTo(id="1", service="backend", by="token", replicas=3))
    assert stage.calls("start_replica") != []
    assert "could not be saved" in stage.reports[-1].history_problem


async def test_a_cycle_that_cannot_decide_is_told_and_the_next_one_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = await backends()

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(module, "decide", fail)
        answer = asyncio.create_task(stage.desk.submit(ScaleTo(id="1", service="backend", by="token", replicas=3)))
        await asyncio.sleep(0)
        report = await stage.loop.cycle()
        refusal = await answer
    assert report.snapshot.problems == ("the cycle failed: ZeroDivisionError()",)
    assert report.plan.is_empty
    assert refusal is not None
    assert (refusal.code, refusal.status) == ("failed", 503)
    assert (await stage.cycle()).snapshot.problems == ()


async def test_one_sink_that_fails_does_not_keep_the_report_from_the_next() -> None:
    stage, sink = await backends(), Sink()
    loop = parts_of(stage, sinks=(BrokenSink(), sink))
    report = await loop.cycle()
    assert sink.reports == [report]
    assert stage.history.reports[-1] is report


async def test_labels_that_make_no_sense_are_a_problem_of_the_policies() -> None:
    stage = await backends()
    stage.policies.for_labels = lambda labels: (stage.policies.current, ("label supervisor.scale.max: x",))  # type: ignore[method-assign]
    assert "label supervisor.scale.max: x" in (await stage.cycle()).policy_problem


async def test_labels_change_the_policy_that_is_decided_by() -> None:
    stage = Stage()
    stage.serve("backend", 2, labels=(("supervisor.scale.max", "2"),))

    def with_labels(labels: Any) -> Any:
        policy = balanced("backend", least=1, most=int(labels.get("backend", {}).get("supervisor.scale.max", 6)))
        return replace(stage.policies.current, services={"backend": policy}), ()

    stage.policies.for_labels = with_labels  # type: ignore[method-assign]
    await stage.run(10)
    refusal = await stage.command(ScaleTo(id="1", service="backend", by="token", replicas=3))
    assert isinstance(refusal, Refusal)


# -- who may act -------------------------------------------------------------------------------------------------------


async def test_who_stands_by_observes_and_touches_nothing() -> None:
    stage = await backends()
    stage.restart_supervisor()
    stage.lease.is_free = False
    recorded = len(stage.history.reports)
    stage.world.remove(stage.replica("backend", 2), is_forced=True)
    refusal = await stage.command(ScaleTo(id="1", service="backend", by="token", replicas=3))
    report = stage.reports[-1]
    assert report.is_standby
    assert len(report.snapshot.services["backend"].replicas) == 1
    assert report.plan.is_empty
    assert stage.runtime.calls == []
    assert len(stage.history.reports) == recorded
    assert refusal is not None
    assert refusal.code == "standby"


async def test_who_takes_over_goes_on_with_what_the_other_one_saved() -> None:
    stage = await backends()
    first = stage.loop
    stage.restart_supervisor()
    stage.lease.is_free = False
    await stage.cycle()
    second, stage.loop, stage.lease.is_free = stage.loop, first, True
    first_desk, stage.desk = stage.desk, first._parts.desk
    await stage.command(ScaleTo(id="1", service="backend", by="token", replicas=3))
    stage.loop, stage.desk = second, first_desk
    report = await stage.cycle()
    assert not report.is_standby
    assert report.memory.of("backend").manual_replicas == 3


# -- dry run -----------------------------------------------------------------------------------------------------------


async def test_a_dry_run_plans_touches_nothing_and_leaves_nothing_behind() -> None:
    stage = await backends(3)
    stage.policies.current = replace(stage.policies.current, is_dry_run=True)
    stage.replica("backend", 2).is_hung = True
    await stage.run(6)
    assert any(isinstance(action, StartReplica) for report in stage.reports for action in report.plan.actions)
    assert stage.runtime.calls == []
    assert stage.listed("backend") == {"modporter-backend-1", "modporter-backend-2", "modporter-backend-3"}
    refusal = await stage.command(ScaleTo(id="1", service="backend", by="token", replicas=5))
    assert refusal is not None
    assert (refusal.code, refusal.status) == ("dry_run", 409)
    stage.world.unhang(stage.replica("backend", 2))
    await stage.run(4)
    stage.policies.current = replace(stage.policies.current, is_dry_run=False)
    await stage.run(20)
    assert stage.is_whole("backend", 3)
    assert stage.calls("start_replica") == []


# -- commands ----------------------------------------------------------------------------------------------------------


async def test_a_deployment_of_an_image_that_is_not_there_is_refused() -> None:
    stage = await backends()
    refusal = await stage.command(Deploy(id="1", service="backend", by="token", image="modporter/backend:none"))
    assert refusal is not None
    assert (refusal.code, refusal.status) == ("image_unknown", 422)


async def test_a_deployment_while_docker_is_away_is_not_the_image_s_fault() -> None:
    stage = await backends()
    stage.runtime.is_away = True
    refusal = await stage.command(Deploy(id="1", service="backend", by="token", image="modporter/backend:none"))
    assert refusal is not None
    assert (refusal.code, refusal.status) == ("runtime_unavailable", 503)


async def test_a_deployment_is_considered_with_the_id_of_its_image() -> None:
    stage = await backends()
    image_id = stage.world.add_image("modporter/backend:2")
    assert await stage.command(Deploy(id="1", service="backend", by="token", image="modporter/backend:2")) is None
    rollout = stage.memory("backend").rollout
    assert rollout is not None
    assert rollout.image_id == image_id


# -- when it looks -----------------------------------------------------------------------------------------------------


class RealClock:
    """The world's clock as the event loop's, so that `run` waits as it does in production."""

    def __init__(self, stage: Stage) -> None:
        self._wall = stage.world.clock.wall

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> Any:
        return self._wall()


async def running(stage: Stage, cycle_seconds: float) -> tuple[Reconcile, asyncio.Event, asyncio.Task[None]]:
    actors = replace(stage.loop._parts.actors, clock=RealClock(stage))
    loop = parts_of(stage, actors=actors, cycle_seconds=cycle_seconds, sinks=(Sink(),))
    stop = asyncio.Event()
    task = asyncio.create_task(loop.run(stop))
    await until(lambda: cycles(loop) > 0)
    return loop, stop, task


def cycles(loop: Reconcile) -> int:
    sink = loop._parts.sinks[0]
    assert isinstance(sink, Sink)
    return len(sink.reports)


async def until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - what is waited for knows of no event
            await asyncio.sleep(0.01)


async def test_it_looks_once_a_cycle_and_at_once_when_something_happens() -> None:
    stage = await backends()
    loop, stop, task = await running(stage, cycle_seconds=30)
    assert cycles(loop) == 1
    stage.world.stop(stage.replica("backend", 2))
    await until(lambda: cycles(loop) == 2)
    answer = asyncio.create_task(stage.desk.submit(RestartOne(id="1", service="backend", by="t", replica_id="none")))
    await until(lambda: cycles(loop) >= 3)
    assert (await answer) is not None
    stop.set()
    await asyncio.wait_for(task, 20)


async def test_without_a_reason_it_waits_for_the_next_cycle() -> None:
    stage = await backends()
    began = asyncio.get_running_loop().time()
    loop, stop, task = await running(stage, cycle_seconds=0.2)
    await until(lambda: cycles(loop) == 4)
    assert asyncio.get_running_loop().time() - began >= 0.55
    stop.set()
    await asyncio.wait_for(task, 20)


async def test_a_flood_of_reasons_is_a_few_cycles() -> None:
    stage = await backends()
    loop, stop, task = await running(stage, cycle_seconds=300)
    began = asyncio.get_running_loop().time()
    for _ in range(100):
        for listener in stage.world.listeners:
            listener("backend")
        await asyncio.sleep(0.01)
    took = asyncio.get_running_loop().time() - began
    # One at once, then 0.05, 0.1, 0.2 and 0.25 s apart: 8 in the second that it takes where the machine is not busy.
    assert 3 <= cycles(loop) <= took / module.LAST_GAP_SECONDS + 8
    stop.set()
    await asyncio.wait_for(task, 20)


class FailingEvents:
    """A runtime whose stream of events breaks once in a way that it should not."""

    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime
        self.opened = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)

    async def events(self) -> AsyncIterator[str]:
        self.opened += 1
        if self.opened == 1:
            raise ZeroDivisionError
        await asyncio.sleep(0.05)
        yield "backend"
        await asyncio.sleep(30)


async def test_events_that_break_are_listened_to_again() -> None:
    stage = await backends()
    runtime = FailingEvents(stage.runtime)
    actors = replace(stage.loop._parts.actors, clock=RealClock(stage), runtime=runtime)
    loop = parts_of(stage, actors=actors, cycle_seconds=0.2, sinks=(Sink(),))
    stop = asyncio.Event()
    task = asyncio.create_task(loop.run(stop))
    await until(lambda: runtime.opened == 2)
    stop.set()
    await asyncio.wait_for(task, 20)


async def test_the_end_waits_for_the_action_in_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = await backends()
    victim = stage.replica("backend", 1)
    signalled, signal_replica = asyncio.Event(), stage.runtime.signal

    async def signal(replica_id: str, name: str, *, cause: str) -> None:
        signalled.set()
        await asyncio.sleep(0.3)
        await signal_replica(replica_id, name, cause=cause)

    def asks_to_leave(_snapshot: Snapshot, memory: Memory, *_: object) -> Decision:
        action = SignalReplica(
            id="c-1", service="backend", cause=Cause.OPERATOR, why="asked", replica_id=victim.id, signal="TERM"
        )
        return Decision(plan=Plan(actions=(action,)), memory=memory)

    loop, stop, task = await running(stage, cycle_seconds=30)
    monkeypatch.setattr(stage.runtime, "signal", signal)
    monkeypatch.setattr(module, "decide", asks_to_leave)
    loop.wake()
    await asyncio.wait_for(signalled.wait(), 20)
    stop.set()
    await asyncio.wait_for(task, 20)
    assert ("signal_TERM", victim.name, "c-1 operator: asked") in stage.runtime.calls
