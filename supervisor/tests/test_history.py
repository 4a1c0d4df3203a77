"""What happened is kept, is found again, and is no more than is worth reading."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from supervisor.adapters.sqlite_history import SqliteHistory
from supervisor.domain.memory import Memory, Rollout, RolloutPhase, ServiceMemory
from supervisor.domain.plan import Cause, Hold, Reason
from supervisor.domain.snapshot import ContainerState, ReportedHealth
from supervisor.ports import Archive, History
from tests.fixtures.supervisor_reports import START, Cycles, replica, started, traffic, usage


class Clock:
    """A time that only the test moves; the machine may boot in between."""

    def __init__(self, cycles: Cycles) -> None:
        self.cycles = cycles

    def now(self) -> float:
        return self.cycles.at

    def wall(self) -> datetime:
        return self.cycles.wall


@pytest.fixture
def cycles() -> Cycles:
    return Cycles()


@pytest.fixture
async def history(tmp_path: Path, cycles: Cycles) -> AsyncIterator[SqliteHistory]:
    opened = begin(tmp_path, cycles)
    yield opened
    await opened.close()


def begin(folder: Path, cycles: Cycles, **options: Any) -> SqliteHistory:
    clock = Clock(cycles)
    return SqliteHistory(folder / "history.sqlite3", now=clock.now, wall=clock.wall, **options)


async def written(history: SqliteHistory) -> None:
    """All that was handed to the writer so far is in the file: it works in order."""
    await history.load_memory()


def test_it_is_both_ports(history: SqliteHistory) -> None:
    writing: History = history
    reading: Archive = history
    assert writing is reading
    assert history.problem == ""


async def test_the_memory_survives_a_restart(tmp_path: Path, history: SqliteHistory, cycles: Cycles) -> None:
    assert await history.load_memory() is None
    memory = Memory(services={"backend": ServiceMemory(service="backend", desired=4, pauses={"in": 1_500.0})}, cycle=9)
    assert await history.save_memory(memory)
    await history.close()
    cycles.at += 30.0
    again = begin(tmp_path, cycles)
    assert await again.load_memory() == replace(memory, saved_at=1_000.0)
    await again.close()


async def test_what_was_saved_before_a_reboot_begins_now(
    tmp_path: Path, history: SqliteHistory, cycles: Cycles
) -> None:
    await history.save_memory(Memory(services={"backend": ServiceMemory(service="backend", manual_hold_until=1_600.0)}))
    await history.close()
    cycles.at = 50.0
    again = begin(tmp_path, cycles)
    memory = await again.load_memory()
    assert memory is not None
    assert memory.saved_at == 50.0
    assert memory.of("backend").manual_hold_until == 650.0
    await again.close()


async def test_an_action_is_kept_with_its_reasons_and_what_came_of_it(history: SqliteHistory, cycles: Cycles) -> None:
    cycles.sentence = "CPU 91 % of 70 %: 3 replicas."
    cycles.reasons = (
        Reason(text="CPU", is_for=True, cause=Cause.METRIC_ABOVE_TARGET, inputs={"value": 0.91, "of": 2, "x": None}),
        Reason(text="rate", is_for=False, hold=Hold.RATE_LIMIT),
    )
    await history.record(cycles.next(started(3), started(4, is_done=False)))
    await written(history)
    (decision,) = await history.decisions()
    assert (decision.service, decision.sentence, decision.at) == ("backend", cycles.sentence, cycles.wall)
    assert (decision.cycle, decision.desired, decision.running, decision.ready) == (1, 2, 2, 2)
    assert decision.reasons == cycles.reasons
    assert [(each.kind, each.replica, each.is_done, each.error) for each in decision.outcomes] == [
        ("StartReplica", "modporter-backend-3", True, ""),
        ("StartReplica", "modporter-backend-4", False, "the guard refused it"),
    ]


async def test_moving_numbers_alone_are_no_decision(history: SqliteHistory, cycles: Cycles) -> None:
    for percent in range(100):
        cycles.sentence = f"2 of 2 replicas are ready; CPU {percent}.{percent} % of 70 %: nothing to do."
        await history.record(cycles.next())
    await written(history)
    assert len(await history.decisions()) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"sentence": "Prometheus does not answer: nothing is scaled."},
        {"desired": 3},
        {"reasons": (Reason(text="", is_for=False, hold=Hold.NO_DATA),)},
        {"replicas": [replica(1), replica(2, health=ReportedHealth.UNHEALTHY)]},
        {"replicas": [replica(1)]},
    ],
)
async def test_another_conclusion_is_a_decision(history: SqliteHistory, cycles: Cycles, change: dict[str, Any]) -> None:
    await history.record(cycles.next())
    for name, value in change.items():
        setattr(cycles, name, value)
    await history.record(cycles.next())
    await written(history)
    assert len(await history.decisions()) == 2


async def test_a_verdict_that_comes_and_goes_does_not_fill_the_history(history: SqliteHistory, cycles: Cycles) -> None:
    for index in range(60):  # two minutes
        cycles.sentence = "Within tolerance." if index % 2 else "Above the target."
        await history.record(cycles.next())
    await written(history)
    assert 2 <= len(await history.decisions()) <= 10


async def test_decisions_are_read_newest_first_by_pages_and_filters(history: SqliteHistory, cycles: Cycles) -> None:
    for number in range(6):
        cycles.sentence = f"Sentence {'abcdef'[number]}."
        await history.record(cycles.next(*([started()] if number % 2 else [])))
    await written(history)
    first = await history.decisions(limit=4)
    assert [each.sentence[9] for each in first] == ["f", "e", "d", "c"]
    rest = await history.decisions(limit=4, before=first[-1].id)
    assert [each.sentence[9] for each in rest] == ["b", "a"]
    assert [each.sentence[9] for each in await history.decisions(only_actions=True)] == ["f", "d", "b"]
    assert await history.decisions(service="frontend") == []
    assert len(await history.decisions(service="backend", only_actions=True, limit=2)) == 2


async def crash(history: SqliteHistory, cycles: Cycles) -> None:
    await history.record(cycles.next())
    cycles.replicas[0] = replace(cycles.replicas[0], restart_count=1, started_at=START)
    await history.record(cycles.next())


async def test_incidents_open_with_the_log_and_close_by_themselves(tmp_path: Path, cycles: Cycles) -> None:
    asked: list[tuple[str, int]] = []

    async def log_tail(replica_id: str, lines: int) -> str:
        asked.append((replica_id, lines))
        return "Traceback\nValueError: no\n"

    history = begin(tmp_path, cycles, log_tail=log_tail)
    await crash(history, cycles)
    await asyncio.sleep(0.5)
    await written(history)
    (incident,) = await history.incidents(only_open=True)
    assert (incident.id, incident.kind, incident.replica) == (1, "crash", "modporter-backend-1")
    assert incident.log_tail == "Traceback\nValueError: no\n"
    assert asked == [("backend-id-1", 100)]
    assert history.open_incidents == {"crash": 1}
    for _ in range(32):
        await history.record(cycles.next())
    await written(history)
    closed = await history.incident(incident.id)
    assert closed is not None
    assert closed.closed_at is not None
    assert closed.log_tail == incident.log_tail
    assert [entry.text for entry in closed.timeline] == [
        "modporter-backend-1 crashed.",
        "In order again.",
        "Closed after 60 s without trouble.",
    ]
    assert await history.incidents(only_open=True) == []
    assert await history.incidents(service="backend") == [closed]
    assert await history.incident(99) is None
    assert history.open_incidents == {}
    await history.close()


async def test_a_log_that_cannot_be_read_keeps_no_incident_from_being_told(tmp_path: Path, cycles: Cycles) -> None:
    async def log_tail(replica_id: str, lines: int) -> str:
        raise RuntimeError("no such container")

    history = begin(tmp_path, cycles, log_tail=log_tail)
    await crash(history, cycles)
    await asyncio.sleep(0.5)
    await written(history)
    (incident,) = await history.incidents()
    assert incident.log_tail == "The log could not be read: no such container"
    await history.close()


async def test_open_incidents_go_on_after_a_restart(tmp_path: Path, history: SqliteHistory, cycles: Cycles) -> None:
    await crash(history, cycles)
    await history.close()
    again = begin(tmp_path, cycles)
    await again.record(cycles.next())
    cycles.replicas[0] = replace(cycles.replicas[0], restart_count=2)
    await again.record(cycles.next())
    cycles.replicas[1] = replace(cycles.replicas[1], restart_count=1)
    await again.record(cycles.next())
    await written(again)
    assert [(each.id, each.title) for each in await again.incidents()] == [
        (2, "modporter-backend-2 crashed."),
        (1, "modporter-backend-1 crashed 2 times."),
    ]
    await again.close()


def rollout(cycles: Cycles, phase: RolloutPhase, **changes: Any) -> ServiceMemory:
    made = Rollout(
        id="r1",
        service="backend",
        image="modporter/backend:2",
        image_id="sha256:2",
        previous_image="modporter/backend:1",
        previous_image_id="sha256:1",
        by="cli",
        phase=phase,
        started_at=1_000.0,
        phase_since=cycles.at,
        replicas=2,
    )
    return ServiceMemory(service="backend", rollout=replace(made, **changes))


async def test_a_rollout_is_kept_step_by_step(tmp_path: Path, history: SqliteHistory, cycles: Cycles) -> None:
    for phase, changes in (
        (RolloutPhase.STARTING, {}),
        (RolloutPhase.CANARY, {"weight_step": 0}),
        (RolloutPhase.CANARY, {"weight_step": 1}),
        (RolloutPhase.REPLACING, {"new_ids": ("a",)}),
    ):
        cycles.memory = rollout(cycles, phase, **changes)
        await history.record(cycles.next())
        await history.record(cycles.next())
    await history.close()
    again = begin(tmp_path, cycles)
    await again.record(cycles.next())
    cycles.memory = rollout(cycles, RolloutPhase.ROLLED_BACK, verdict="It was slow.", finished_at=cycles.at)
    await again.record(cycles.next())
    await written(again)
    (record,) = await again.rollouts(service="backend")
    assert (record.id, record.phase, record.verdict, record.by) == ("r1", "rolled_back", "It was slow.", "cli")
    assert record.started_at == START
    assert record.finished_at == cycles.wall - timedelta(seconds=2)
    assert [step.text for step in record.steps] == [
        "A replica of modporter/backend:2 is started.",
        "It gets a share of the requests (step 1).",
        "It gets a share of the requests (step 2).",
        "1 of 2 replicas are new.",
        "modporter/backend:1 runs again. It was slow.",
    ]
    assert await again.rollouts(service="frontend") == []
    await again.close()


async def test_the_audit_is_written_at_once_and_read_by_pages(history: SqliteHistory, cycles: Cycles) -> None:
    for number in range(3):
        await history.add_audit(by="page", what="scale", service="backend", detail=f"{number}", is_accepted=number > 0)
    entries = await history.audit(limit=2)
    assert [(each.detail, each.is_accepted) for each in entries] == [("2", True), ("1", True)]
    (last,) = await history.audit(before=entries[-1].id)
    assert (last.by, last.what, last.service, last.is_accepted, last.at) == (
        "page",
        "scale",
        "backend",
        False,
        cycles.wall,
    )


async def test_numbers_are_kept_every_ten_seconds_for_services_and_replicas(
    history: SqliteHistory, cycles: Cycles
) -> None:
    cycles.replicas = [
        replica(1, usage=usage(0, cpu_ratio=0.4), traffic=traffic(0)),
        replica(2, usage=usage(0, cpu_ratio=0.6), traffic=traffic(0, p95_seconds=0.2, requests_per_second=1.0)),
        replica(3, state=ContainerState.EXITED),
    ]
    for _ in range(16):  # 32 s
        await history.record(cycles.next())
    await written(history)
    cpu = await history.series("backend", "cpu_ratio", since=START)
    assert [value for _, value in cpu] == [0.5, 0.5, 0.5, 0.5]
    assert [at - START.timestamp() for at, _ in cpu] == [2, 10, 20, 30]
    for name, value in (("ready", 2), ("running", 2), ("desired", 2), ("p95_seconds", 0.2), ("memory_ratio", 0.25)):
        assert (await history.series("backend", name, since=START))[-1][1] == value
    assert (await history.series("backend", "requests_per_second", since=START))[-1][1] == 8.25
    one = await history.series("backend", "cpu_ratio", since=START, replica="modporter-backend-2")
    assert [value for _, value in one] == [0.6] * 4
    assert await history.series("backend", "ready", since=START, replica="modporter-backend-2") == ()
    assert await history.series("backend", "cpu_ratio", since=START, replica="modporter-backend-3") == ()
    assert await history.series("backend", "no such", since=START) == ()
    assert len(await history.series("backend", "ready", since=START + timedelta(seconds=15))) == 2


async def test_a_number_that_is_not_known_is_no_point(history: SqliteHistory, cycles: Cycles) -> None:
    cycles.replicas = [replica(1, usage=usage(0, cpu_ratio=None))]
    await history.record(cycles.next())
    await written(history)
    assert await history.series("backend", "cpu_ratio", since=START) == ()
    assert await history.series("backend", "requests_per_second", since=START) == ()
    assert len(await history.series("backend", "memory_ratio", since=START)) == 1


async def test_seconds_are_up_degraded_down_or_unknown(tmp_path: Path, history: SqliteHistory, cycles: Cycles) -> None:
    async def pass_seconds(seconds: int) -> None:
        for _ in range(seconds // 2):
            await history.record(cycles.next())

    await pass_seconds(102)
    cycles.replicas[0] = replace(cycles.replicas[0], health=ReportedHealth.UNHEALTHY)
    await pass_seconds(40)
    cycles.replicas[1] = replace(cycles.replicas[1], health=ReportedHealth.UNHEALTHY)
    await pass_seconds(20)
    cycles.snapshot_changes = {"is_complete": False}
    await pass_seconds(60)
    cycles.snapshot_changes = {}
    await pass_seconds(2)
    cycles.at += 500.0  # the supervisor was away
    cycles.wall += timedelta(seconds=500)
    await pass_seconds(12)
    await history.close()
    today, yesterday = await history.uptime("backend", days=2)
    assert today.day == START.date()
    assert (today.up_seconds, today.degraded_seconds, today.down_seconds) == (100.0, 40.0, 20.0 + 10.0)
    assert today.unknown_seconds == (cycles.wall - START.replace(hour=0)).total_seconds() - 170.0
    assert (yesterday.up_seconds, yesterday.unknown_seconds) == (0.0, 86_400.0)
    assert len(await history.uptime("backend")) == 90


async def test_what_has_done_its_work_is_neither_up_nor_down(history: SqliteHistory, cycles: Cycles) -> None:
    done = replica(1, "migrate", state=ContainerState.EXITED, restart_policy="no")
    for _ in range(20):
        report = cycles.next()
        services = {
            **report.snapshot.services,
            "migrate": replace(report.snapshot.services["backend"], name="migrate", replicas=(done,)),
        }
        await history.record(replace(report, snapshot=replace(report.snapshot, services=services)))
    await written(history)
    (today,) = await history.uptime("migrate", days=1)
    assert (today.up_seconds, today.down_seconds) == (0.0, 0.0)
    assert await history.series("migrate", "ready", since=START) == ()


async def test_who_stands_by_writes_nothing_and_goes_on_where_the_other_was(
    tmp_path: Path, history: SqliteHistory
) -> None:
    theirs, mine = Cycles(), Cycles(report_changes={"is_standby": True})
    other = begin(tmp_path, theirs)
    await history.record(mine.next(started()))
    await crash(other, theirs)
    await other.close()
    await written(history)
    assert len(await history.decisions()) == 1
    mine.report_changes = {}
    await crash(history, mine)
    await written(history)
    assert [each.id for each in await history.incidents()] == [1]
