"""The loop: observe, decide, save, act, learn, report. Run by bootstrap beside the API, in one event loop.

Every `cycle_seconds`, and at once when an event, a probe or a command gives a reason; these are coalesced, so that a
flood of events costs a few cycles a second. Each cycle starts from what is there, so a lost event, a failed action or
a killed supervisor costs time and nothing else. Whatever fails in a part is logged and shown, and the loop goes on.

Only the holder of the lease decides and acts. Another supervisor observes and serves, and takes over, with the memory
as the other one saved it, when the lease is free.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import structlog

from supervisor.domain.command import Command, Refusal
from supervisor.domain.decide import decide, learn
from supervisor.domain.memory import Memory
from supervisor.domain.plan import Outcome, Plan
from supervisor.domain.policy import Policies
from supervisor.domain.rehearsal import without_steps
from supervisor.domain.snapshot import Snapshot
from supervisor.loop.act import Actors, act
from supervisor.loop.commands import with_images
from supervisor.loop.desk import CommandDesk
from supervisor.loop.journal import Journal
from supervisor.loop.keeper import HISTORY_SECONDS, MemoryKeeper
from supervisor.loop.observe import Observer
from supervisor.ports import CycleReport, EventSink, History, Refused, Unavailable

FIRST_GAP_SECONDS = 0.05  # between a reason and its cycle: what comes together is seen together
LAST_GAP_SECONDS = 0.25  # while reasons keep coming
DRY_RUN_TEXT = "The policies say dry_run: nothing is touched."

log = structlog.get_logger(__name__)


class PolicySource(Protocol):
    """The policies in force, and why the newest text is not."""

    @property
    def current(self) -> Policies: ...

    @property
    def problem(self) -> str: ...

    def refresh(self) -> object:
        """Read the file again if it changed."""

    def for_labels(self, labels: Mapping[str, Mapping[str, str]]) -> tuple[Policies, tuple[str, ...]]:
        """The policies with each service's own labels on top, and what is wrong with those."""


class Lease(Protocol):
    @property
    def problem(self) -> str:
        """Why the last acquire() was in vain; empty when it was not."""

    def acquire(self) -> bool:
        """True while this process may act. Returns at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    observer: Observer
    actors: Actors
    history: History
    policies: PolicySource
    lease: Lease
    desk: CommandDesk
    sinks: Sequence[EventSink] = ()
    cycle_seconds: float = 2.0


@dataclass(slots=True)
class _Done:
    """What a cycle came to."""

    plan: Plan = field(default_factory=Plan)
    outcomes: tuple[Outcome, ...] = ()
    problem: str = ""


class Reconcile:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._clock = parts.actors.clock
        self._keeper = MemoryKeeper(parts.history, self._clock)
        self._journal = Journal()
        self._memory = Memory()
        self._policies = parts.policies.current
        self._label_problems: tuple[str, ...] = ()
        self._labels: Mapping[str, Mapping[str, str]] = {}
        self._is_leading = False
        self._is_announced = False  # whether the balancer knows that it is us who writes its lists now
        self._number = 0
        self._gap_seconds = FIRST_GAP_SECONDS
        self._reason = asyncio.Event()
        parts.desk.listen(self.wake)

    def wake(self) -> None:
        """There is a reason not to wait for the next cycle's time."""
        self._reason.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; a cycle that has begun is finished, with its actions."""
        beside = [
            asyncio.create_task(self._wake_on_events()),
            asyncio.create_task(self._parts.observer.probes.watch(self.wake)),
            asyncio.create_task(self._wake_on(stop)),
        ]
        try:
            while not stop.is_set():
                began = self._clock.now()
                self._reason.clear()
                report = await self.cycle()
                await self._wait(began, report.plan.look_again_at)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            self._parts.observer.probes.close()

    async def cycle(self) -> CycleReport:
        """One turn, whatever happens in it."""
        began = self._clock.now()
        await self._lead()
        self._number += 1
        self._refresh_policies()
        snapshot = await self._parts.observer.observe(self._policies, self._memory)
        self._label_policies(snapshot)
        commands = self._parts.desk.take()
        done = await self._decide_and_act(snapshot, commands) if self._is_leading else _Done()
        if not self._is_leading:
            self._parts.desk.answer(commands, _refused(commands, "standby", "Another supervisor acts."))
        if not self._is_leading and self._parts.lease.problem:
            snapshot = replace(snapshot, problems=(*snapshot.problems, self._parts.lease.problem))
        if done.problem:
            snapshot = replace(snapshot, problems=(*snapshot.problems, done.problem))
        report = CycleReport(
            cycle=self._number,
            snapshot=snapshot,
            memory=self._memory,
            plan=done.plan,
            outcomes=done.outcomes,
            duration_seconds=self._clock.now() - began,
            is_standby=not self._is_leading,
            policy_problem="\n".join(filter(None, (self._parts.policies.problem, *self._label_problems))),
            history_problem=self._parts.history.problem or self._keeper.problem,
        )
        await self._tell(report)
        return report

    async def _lead(self) -> None:
        was_leading, self._is_leading = self._is_leading, self._parts.lease.acquire()
        if self._is_leading and not was_leading:
            self._memory = await self._keeper.load()
            self._number = max(self._number, self._memory.cycle)
            self._is_announced = False
            log.info("lease_acquired", cycle=self._number)

    async def _announce(self, snapshot: Snapshot) -> None:
        """Once for a new leader: the balancer reports to us from now on, and a list left half-way is put in force."""
        if self._is_announced or not snapshot.is_complete:
            return
        try:
            await self._parts.actors.balancer.set_members({}, cause="this supervisor acts from now on")
            self._is_announced = True
        except (Unavailable, Refused) as error:
            log.warning("balancer_not_told", reason=str(error))

    def _refresh_policies(self) -> None:
        try:
            self._parts.policies.refresh()
        except Exception:
            log.exception("policies_not_refreshed")
        self._label_policies(None)

    def _label_policies(self, snapshot: Snapshot | None) -> None:
        """Put the labels of the services on top: those in the snapshot, or without one those that were seen last."""
        if snapshot is not None:
            self._labels = {name: service.labels for name, service in snapshot.services.items()}
        try:
            self._policies, self._label_problems = self._parts.policies.for_labels(self._labels)
        except Exception as error:
            log.exception("labels_not_applied")
            self._policies, self._label_problems = self._parts.policies.current, (f"labels: {error!r}",)

    async def _decide_and_act(self, snapshot: Snapshot, commands: tuple[Command, ...]) -> _Done:
        done = _Done()
        refusals: list[Refusal] = []
        try:
            if self._policies.is_dry_run:
                done.plan = self._rehearse(snapshot)
                self._parts.desk.answer(commands, _refused(commands, "dry_run", DRY_RUN_TEXT, status=409))
                return done
            await self._announce(snapshot)
            resolved, refusals = await with_images(commands, self._parts.actors.runtime)
            decision = decide(snapshot, replace(self._memory, cycle=self._number), self._policies, resolved)
            refusals += decision.refusals
            done.plan = decision.plan
            self._memory = await self._keeper.save(decision.memory)
            self._parts.desk.answer(commands, refusals)
            done.outcomes = await act(decision.plan, self._parts.actors)
            if done.outcomes:
                self._memory = await self._keeper.save(learn(self._memory, done.outcomes))
        except Exception as error:
            log.exception("cycle_failed", cycle=self._number)
            done.problem = f"the cycle failed: {error!r}"
            refusals = _refused(commands, "failed", "The cycle that considered it failed; see the log.")
        self._parts.desk.answer(commands, refusals)
        return done

    def _rehearse(self, snapshot: Snapshot) -> Plan:
        """What would be done. Each dry cycle begins with what runs, and remembers no step that was not taken."""
        before = replace(self._memory, cycle=self._number)
        decision = decide(snapshot, before, self._policies, ())
        self._memory = without_steps(before, decision.memory)
        return decision.plan

    async def _tell(self, report: CycleReport) -> None:
        self._journal.publish(report)
        for sink in self._parts.sinks:
            try:
                sink.publish(report)
            except Exception:
                log.exception("report_not_published", sink=type(sink).__name__)
        if report.is_standby:
            return  # the other one writes the history
        try:
            async with asyncio.timeout(HISTORY_SECONDS):
                await self._parts.history.record(report)
        except Exception:
            log.exception("report_not_recorded")

    async def _wait(self, began: float, look_again_at: float | None) -> None:
        """Until the next cycle's time, or a reason; then a moment more for the reasons that come with it."""
        until = began + self._parts.cycle_seconds
        if look_again_at is not None:
            until = min(until, look_again_at)
        try:
            async with asyncio.timeout(max(FIRST_GAP_SECONDS, until - self._clock.now())):
                await self._reason.wait()
        except TimeoutError:
            self._gap_seconds = FIRST_GAP_SECONDS
            return
        await asyncio.sleep(self._gap_seconds)
        self._gap_seconds = min(self._gap_seconds * 2, LAST_GAP_SECONDS)

    async def _wake_on_events(self) -> None:
        while True:
            try:
                async for _ in self._parts.actors.runtime.events():
                    self.wake()
            except Exception:
                log.exception("events_failed")
            await asyncio.sleep(self._parts.cycle_seconds)

    async def _wake_on(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self.wake()


def _refused(commands: tuple[Command, ...], code: str, text: str, status: int = 503) -> list[Refusal]:
    return [Refusal(command=command, code=code, status=status, text=text) for command in commands]
