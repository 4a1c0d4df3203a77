"""Probing between cycles: who hangs is found out within seconds, and nobody waits for him."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from supervisor.domain.snapshot import LoadView
from supervisor.loop import probes as module
from supervisor.loop.probes import Probes, Target
from supervisor.ports import ProbeAnswer, Unavailable
from tests.fixtures.supervisor_world import FakeClock

READY = ProbeAnswer(is_ready=True, latency_seconds=0.001)
SILENT = ProbeAnswer(is_ready=False, latency_seconds=1.0, is_timeout=True, detail="no answer")
NOT_READY = ProbeAnswer(is_ready=False, latency_seconds=0.001, detail="503")


class Replicas:
    """HealthProbe whose answers are set by address, or address and path. `held`: addresses that never answer."""

    def __init__(self) -> None:
        self.answers: dict[str, ProbeAnswer | Exception] = {}
        self.held: set[str] = set()
        self.asked: list[tuple[str, float]] = []

    async def ready(self, address: str, path: str, timeout_seconds: float) -> ProbeAnswer:
        self.asked.append((address, timeout_seconds))
        if address in self.held:
            await asyncio.Event().wait()
        answer = self.answers.get(address + path, self.answers.get(address, READY))
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def load(self, address: str, balancer_addresses: frozenset[str]) -> LoadView | None:
        return None


def target(replica_id: str, live_path: str = "") -> Target:
    return Target(
        replica_id=replica_id,
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        address=f"{replica_id}:8000",
        path="/health/ready",
        live_path=live_path,
        timeout_seconds=1.0,
        failures=2,
    )


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def replicas() -> Replicas:
    return Replicas()


async def test_failures_in_a_row_are_counted_and_forgotten_with_a_good_answer(
    clock: FakeClock, replicas: Replicas
) -> None:
    probes = Probes(replicas, clock)
    counts = []
    for answer in (READY, NOT_READY, NOT_READY, READY, NOT_READY):
        replicas.answers["a:8000"] = answer
        clock.steady += 2
        counts.append((await probes.look([target("a")]))["a"].failures)
    assert counts == [0, 1, 2, 0, 1]


async def test_who_was_ready_and_is_silent_is_asked_again_at_once_with_half_a_second(
    clock: FakeClock, replicas: Replicas
) -> None:
    probes = Probes(replicas, clock)
    await probes.look([target("a")])
    replicas.answers["a:8000"] = SILENT
    clock.steady += 2
    assert (await probes.look([target("a")]))["a"].failures == 2
    assert replicas.asked == [("a:8000", 1.0), ("a:8000", 1.0), ("a:8000", 0.5)]
    clock.steady += 2
    assert (await probes.look([target("a")]))["a"].failures == 3  # known by now: once is enough
    assert len(replicas.asked) == 4


async def test_who_waits_for_a_store_and_lives_does_not_hang_however_long_it_lasts(
    clock: FakeClock, replicas: Replicas
) -> None:
    probes, replica = Probes(replicas, clock), target("a", live_path="/health/live")
    await probes.look([replica])
    replicas.answers["a:8000/health/ready"] = SILENT
    for failures in (2, 4, 6):
        clock.steady += 2
        view = (await probes.look([replica]))["a"]
        assert (view.is_ready, view.is_timeout, view.failures) == (False, False, failures)
        assert view.detail == "/health/ready does not answer in time, /health/live does"
    replicas.answers["a:8000/health/live"] = SILENT
    clock.steady += 2
    assert (await probes.look([replica]))["a"].is_timeout


async def test_a_second_look_at_the_same_time_asks_nobody(clock: FakeClock, replicas: Replicas) -> None:
    probes = Probes(replicas, clock)
    await probes.look([target("a")])
    await probes.look([target("a")])
    assert len(replicas.asked) == 1


async def test_a_restarted_replica_begins_with_no_failures(clock: FakeClock, replicas: Replicas) -> None:
    probes = Probes(replicas, clock)
    replicas.answers["a:8000"] = NOT_READY
    await probes.look([target("a")])
    restarted = replace(target("a"), started_at=datetime(2026, 1, 2, tzinfo=UTC))
    assert (await probes.look([restarted]))["a"].failures == 1


async def test_who_is_gone_is_not_asked_any_more(clock: FakeClock, replicas: Replicas) -> None:
    probes = Probes(replicas, clock)
    await probes.look([target("a"), target("b")])
    clock.steady += 2
    assert set(await probes.look([target("b")])) == {"b"}
    assert [address for address, _ in replicas.asked].count("a:8000") == 1


async def test_a_cycle_does_not_wait_for_a_replica_that_is_being_asked(clock: FakeClock, replicas: Replicas) -> None:
    probes = Probes(replicas, clock)
    await probes.look([target("a"), target("b")])
    replicas.held.add("a:8000")
    clock.steady += 2
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(probes.look([target("a"), target("b")]), 0.05)
    clock.steady += 2
    views = await asyncio.wait_for(probes.look([target("a"), target("b")]), 5)
    assert views["a"].at == 1000.0  # old, and says so
    assert views["b"].at == clock.now()
    probes.close()


async def test_a_fault_of_the_prober_says_nothing_about_the_replica(clock: FakeClock, replicas: Replicas) -> None:
    probes = Probes(replicas, clock)
    await probes.look([target("a")])
    replicas.answers["a:8000"] = ZeroDivisionError()
    clock.steady += 2
    view = (await probes.look([target("a")]))["a"]
    assert (view.is_ready, view.at) == (True, 1000.0)


async def test_a_network_that_cannot_be_used_is_a_failure(clock: FakeClock, replicas: Replicas) -> None:
    probes = Probes(replicas, clock)
    replicas.answers["a:8000"] = Unavailable("no route")
    view = (await probes.look([target("a")]))["a"]
    assert (view.is_ready, view.failures, view.detail) == (False, 1, "no route")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "INTERVAL_SECONDS", 0.01)


async def test_the_watch_tells_of_a_hang_and_of_the_return_once_each(
    clock: FakeClock, replicas: Replicas, quick: None
) -> None:
    probes = Probes(replicas, clock)
    await probes.look([target("a"), target("b")])
    news: list[float] = []
    watching = asyncio.create_task(probes.watch(lambda: news.append(clock.now())))

    async def seconds_pass(count: int) -> None:
        for _ in range(count):
            clock.steady += 1
            asked = [address for address, _ in replicas.asked].count("b:8000")
            async with asyncio.timeout(20):
                while [address for address, _ in replicas.asked].count("b:8000") == asked:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.02)  # the others' answers

    await seconds_pass(3)
    assert news == []
    replicas.answers["a:8000"] = SILENT
    await seconds_pass(4)
    assert len(news) == 1
    assert probes.views()["a"].failures >= 2
    replicas.answers["a:8000"] = READY
    await seconds_pass(3)
    assert len(news) == 2
    watching.cancel()
    probes.close()
