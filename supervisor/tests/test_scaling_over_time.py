"""Scaling against a plant that answers: load steps, noise, and data that goes away at the peak."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from supervisor.domain.memory import ReplicaMemory, ServiceMemory
from supervisor.domain.policy import MetricKind, MetricPolicy, ScalePolicy, ServicePolicy
from supervisor.domain.scaling import recommend
from supervisor.domain.snapshot import (
    ContainerState,
    MetricReading,
    ReplicaView,
    ReportedHealth,
    ServiceView,
    Snapshot,
    UsageView,
)

# Hours are played here, of code that the other tests go through as well: counting its lines would double the time.
pytestmark = pytest.mark.no_cover

CYCLE = 2.0
CPU = MetricPolicy(name="cpu", kind=MetricKind.CPU, target=0.6)
P95 = MetricPolicy(name="p95", kind=MetricKind.PROMQL, target=0.6, query="p95", window_seconds=30.0)


@dataclass
class Plant:
    """A service whose value is its load shared by the ready replicas. `load` is in replicas at target.

    CPU is the mean of the last cycle; the queried metric the mean of 30 s, so both are late after a change.
    """

    load: Callable[[float], float]
    metrics: tuple[MetricPolicy, ...] = (CPU,)
    start_seconds: float = 4.0
    broken: Callable[[float, MetricReading], MetricReading | None] = lambda _, reading: reading
    is_saturating: bool = False  # CPU cannot exceed the limit
    now: float = 0.0
    born: dict[str, float] = field(default_factory=dict)  # id -> ready at
    values: list[tuple[float, float]] = field(default_factory=list)
    track: list[tuple[float, int]] = field(default_factory=list)
    memory: ServiceMemory = field(default_factory=lambda: ServiceMemory(service="web"))

    def run(self, seconds: float, *, replicas: int | None = None, **scale: object) -> list[int]:
        """The desired number after each cycle."""
        keys: dict[str, object] = {"is_enabled": True, "min": 1, "max": 40, "metrics": self.metrics, **scale}
        policy = ServicePolicy(service="web", scale=ScalePolicy(**keys))  # type: ignore[arg-type]
        for number in range(replicas or 0):
            self.born[f"id{number}"] = -1000.0
        cycles = []
        end = self.now + seconds
        while self.now < end:
            cycles.append(self.cycle(policy))
        return cycles

    def cycle(self, policy: ServicePolicy) -> int:
        self.now += CYCLE
        ready = [name for name, at in self.born.items() if at <= self.now]
        before = [name for name, at in self.born.items() if at <= self.now - CYCLE]
        value = self.load(self.now) * CPU.target / max(1, len(before))
        self.values.append((self.now, value))
        cpu = min(1.0, value) if self.is_saturating else value
        late = [value for at, value in self.values if at > self.now - 30.0]
        reading = self.broken(self.now, MetricReading(at=self.now, value=sum(late) / len(late)))
        service = ServiceView(name="web", replicas=tuple(self.view(name, cpu) for name in ready))
        snapshot = Snapshot(
            at=self.now,
            wall=datetime(2026, 3, 2, tzinfo=UTC) + timedelta(seconds=self.now),
            project="p",
            services={"web": service},
            metrics={} if reading is None else {("web", "p95"): reading},
        )
        known = {n: ReplicaMemory(replica_id=n, first_seen=0.0, ready_since=self.born[n]) for n in ready}
        memory = replace(self.memory, replicas=known)
        verdict = recommend(service, memory, policy, len(ready), len(self.born) - len(ready), snapshot)
        self.memory = verdict.memory
        self.fit(verdict.desired)
        self.track.append((self.now, verdict.desired))
        return verdict.desired

    def fit(self, desired: int) -> None:
        while len(self.born) < desired:
            self.born[f"id{self.now}-{len(self.born)}"] = self.now + self.start_seconds
        while len(self.born) > desired:
            self.born.pop(max(self.born, key=lambda name: self.born[name]))

    def view(self, name: str, cpu: float) -> ReplicaView:
        return ReplicaView(
            id=name,
            name=name,
            service="web",
            number=1,
            state=ContainerState.RUNNING,
            health=ReportedHealth.HEALTHY,
            image="web",
            image_id="sha256:1",
            config_hash="",
            is_clone=False,
            usage=UsageView(at=self.now, cpu_ratio=cpu, memory_ratio=0.1, memory_bytes=1, cpu_seconds_total=0.0),
        )


def direction_changes(numbers: list[int]) -> int:
    steps = [after - before for before, after in itertools.pairwise(numbers) if after != before]
    return sum((after > 0) != (before > 0) for before, after in itertools.pairwise(steps))


@pytest.mark.parametrize("metrics", [(CPU,), (CPU, P95)])
@pytest.mark.parametrize("start_seconds", [1.0, 4.0, 11.0])
@pytest.mark.parametrize("replicas", [2, 3, 5])
def test_load_step_of_four_is_decided_within_5_s_and_not_exceeded(
    metrics: tuple[MetricPolicy, ...], start_seconds: float, replicas: int
) -> None:
    plant = Plant(lambda at: replicas * (4.0 if at > 300 else 1.0), metrics=metrics, start_seconds=start_seconds)
    assert set(plant.run(300, replicas=replicas)) == {replicas}
    numbers = plant.run(150)
    decided = next(index for index, number in enumerate(numbers, start=1) if number > replicas)
    whole = next(index for index, number in enumerate(numbers, start=1) if number >= 4 * replicas)
    assert decided * CYCLE <= 5.0
    assert whole * CYCLE <= 20.0  # a panic where replicas start slowly, else two steps
    assert 4 * replicas <= max(numbers) <= 4 * replicas + 1
    assert numbers[-1] == max(numbers)


def test_load_step_of_four_with_saturated_cpu() -> None:
    """A replica at its limit hides how much more there is; each step shows some of the rest."""
    plant = Plant(lambda at: 8.0 if at > 300 else 2.0, is_saturating=True)
    plant.run(300, replicas=2)
    numbers = plant.run(150)
    assert numbers[1] > 2
    assert 8 <= max(numbers) <= 9


def test_load_that_goes_away_takes_three_minutes_and_small_steps() -> None:
    plant = Plant(lambda at: 2.0 if at > 300 else 12.0)
    plant.run(300, replicas=12)
    numbers = plant.run(600)
    assert set(numbers[:85]) == {12}
    assert numbers[-1] == 2
    assert max(before - after for before, after in itertools.pairwise(numbers)) == 3
    assert direction_changes(numbers) == 0


@pytest.mark.parametrize("seed", range(5))
def test_noisy_sine_changes_direction_twice_an_hour(seed: int) -> None:
    noise = random.Random(seed)
    plant = Plant(lambda at: (8 + 5 * math.sin(at * 2 * math.pi / 3600)) * noise.gauss(1.0, 0.1))
    numbers = plant.run(3600, replicas=8)
    assert direction_changes(numbers) <= 2
    assert max(numbers) >= 13


BREAKS: dict[str, Callable[[MetricReading], MetricReading | None]] = {
    "down": lambda _: None,
    "empty": lambda reading: MetricReading(at=reading.at, value=None, problem="no series"),
    "NaN": lambda reading: MetricReading(at=reading.at, value=math.nan),
    "stale": lambda _: MetricReading(at=600.0, value=0.01),
}


@pytest.mark.parametrize("kind", BREAKS)
@pytest.mark.parametrize("metrics", [(P95,), (CPU, P95)])
def test_ten_minutes_without_data_at_the_peak_take_nothing_away(kind: str, metrics: tuple[MetricPolicy, ...]) -> None:
    """Even when what is left of the metrics says that fewer would do."""

    def broken(at: float, reading: MetricReading) -> MetricReading | None:
        return BREAKS[kind](reading) if 600 < at <= 1200 else reading

    plant = Plant(lambda at: 9.0 if at <= 600 else 3.0, metrics=metrics, broken=broken)
    plant.run(600, replicas=3)
    peak = plant.track[-1][1]
    assert peak >= 9
    assert min(plant.run(600)) >= peak
    assert plant.run(900)[-1] < peak  # and afterwards it comes down


def test_a_restarted_supervisor_watches_before_it_takes_away() -> None:
    plant = Plant(lambda _: 2.0)
    numbers = plant.run(400, replicas=10)
    assert set(numbers[:89]) == {10}
    assert numbers[-1] < 10
    plant.memory = replace(plant.memory, recommendations=(), load=())
    left = numbers[-1]
    assert set(plant.run(178)) == {left}
