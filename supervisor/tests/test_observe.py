"""A snapshot is whole or says what is missing, and never waits longer than its deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from supervisor.domain.memory import Departure, Errand, Memory, Recommendation, ServiceMemory
from supervisor.domain.plan import Cause
from supervisor.domain.policy import HealPolicy, MetricKind, MetricPolicy, Policies, ScalePolicy, ServicePolicy
from supervisor.domain.snapshot import AlertView, LoadView, MetricReading, ReplicaView, ServiceView, Snapshot, UsageView
from supervisor.loop.observe import Observer, Sources
from tests.fixtures.supervisor_fakes import (
    FakeBalancer,
    FakeHost,
    FakeMetrics,
    FakeProbe,
    FakeRuntime,
)
from tests.fixtures.supervisor_world import FakeService, FakeWorld

QUERY = "sum(queue_depth)"


def promql(name: str, query: str = QUERY) -> MetricPolicy:
    return MetricPolicy(name=name, kind=MetricKind.PROMQL, target=1.0, query=query)


def policy(service: str, *metrics: MetricPolicy) -> ServicePolicy:
    return ServicePolicy(
        service=service,
        is_balanced=True,
        scale=ScalePolicy(is_enabled=True, min=1, max=5, metrics=metrics),
        heal=HealPolicy(probe_path="/health/ready"),
    )


class Ground:
    """Two balanced services behind NGINX, and an observer of them."""

    def __init__(self, *metrics: MetricPolicy, deadline_seconds: float = 0.3) -> None:
        self.world = FakeWorld()
        for name, replicas in (("backend", 3), ("frontend", 2), ("nginx", 1)):
            self.world.up(FakeService(name=name, image=f"modporter/{name}:1"), replicas)
        self.world.advance(3)
        self.runtime, self.probe = FakeRuntime(self.world), FakeProbe(self.world)
        self.metrics, self.balancer = FakeMetrics(self.world), FakeBalancer(self.world)
        self.policies = Policies(services={name: policy(name, *metrics) for name in ("backend", "frontend")})
        self.memory = Memory()
        sources = Sources(
            runtime=self.runtime,
            probe=self.probe,
            metrics=self.metrics,
            host=FakeHost(self.world),
            balancer=self.balancer,
            clock=self.world.clock,
        )
        self.observer = Observer("modporter", sources, deadline_seconds)

    async def look(self) -> Snapshot:
        return await self.observer.observe(self.policies, self.memory)

    def remember(self, service: str, **fields: object) -> None:
        self.memory = replace(self.memory, services={service: ServiceMemory(service=service, **fields)})  # type: ignore[arg-type]


def backends(snapshot: Snapshot) -> tuple[ReplicaView, ...]:
    return snapshot.services["backend"].replicas


async def test_a_snapshot_has_everything_that_was_read() -> None:
    ground = Ground(promql("queue"))
    ground.metrics.answers[QUERY] = 7.0
    ground.metrics.alerts_now = (AlertView(name="Slow", service="backend", severity="page", summary="s"),)
    snapshot = await ground.look()
    assert snapshot.is_complete
    assert snapshot.problems == ()
    assert snapshot.metrics["backend", "queue"].value == 7.0
    assert [alert.name for alert in snapshot.alerts] == ["Slow"]
    assert snapshot.host is not None
    assert snapshot.balancer is not None
    for replica in backends(snapshot):
        assert replica.probe is not None
        assert replica.probe.is_ready
        assert replica.usage is not None
        assert replica.traffic is not None
    assert snapshot.services["nginx"].replicas[0].traffic is None  # nobody balances it


async def test_without_docker_it_shows_what_was_seen_last_and_is_not_complete() -> None:
    ground = Ground()
    before = await ground.look()
    ground.runtime.is_away = True
    after = await ground.look()
    assert not after.is_complete
    assert after.services == before.services
    assert after.problems == ("Docker does not answer",)
    ground.runtime.is_away = False
    assert (await ground.look()).is_complete


async def test_without_docker_from_the_beginning_it_is_empty() -> None:
    ground = Ground()
    ground.runtime.is_away = True
    snapshot = await ground.look()
    assert (snapshot.is_complete, dict(snapshot.services)) == (False, {})


class SlowRuntime(FakeRuntime):
    """Lists at once, and takes its time for the usage."""

    async def usage(self, replicas: Sequence[ReplicaView]) -> Mapping[str, UsageView]:
        await asyncio.sleep(10)
        return {}


class SlowMetrics(FakeMetrics):
    async def query(self, promql: str) -> MetricReading:
        await asyncio.sleep(10)
        return MetricReading(at=0.0, value=1.0)


async def test_what_is_slow_is_left_out_at_the_deadline_and_the_rest_is_there() -> None:
    ground = Ground(promql("queue"))
    sources = Sources(
        runtime=SlowRuntime(ground.world),
        probe=ground.probe,
        metrics=SlowMetrics(ground.world),
        host=FakeHost(ground.world),
        balancer=ground.balancer,
        clock=ground.world.clock,
    )
    began = time.perf_counter()
    snapshot = await Observer("modporter", sources, 1.0).observe(ground.policies, ground.memory)
    assert time.perf_counter() - began < 8.0
    assert snapshot.is_complete
    assert set(snapshot.problems) == {
        "Prometheus did not answer in time",
        "the usage of containers did not answer in time",
    }
    assert snapshot.metrics["backend", "queue"].value is None
    assert snapshot.metrics["backend", "queue"].problem
    assert all(replica.usage is None for replica in backends(snapshot))
    assert all(replica.probe is not None for replica in backends(snapshot))


class BrokenHost(FakeHost):
    async def read(self) -> None:  # type: ignore[override]
        raise ZeroDivisionError


async def test_a_fault_in_one_reading_is_a_problem_and_not_the_end() -> None:
    ground = Ground()
    sources = Sources(
        runtime=ground.runtime,
        probe=ground.probe,
        metrics=ground.metrics,
        host=BrokenHost(ground.world),
        balancer=ground.balancer,
        clock=ground.world.clock,
    )
    snapshot = await Observer("modporter", sources).observe(ground.policies, ground.memory)
    assert snapshot.host is None
    assert snapshot.problems == ("the host could not be read: ZeroDivisionError()",)
    assert snapshot.is_complete


class CountingMetrics(FakeMetrics):
    asked: list[str]

    async def query(self, promql: str) -> MetricReading:
        self.asked.append(promql)
        return await super().query(promql)


async def test_a_query_of_several_policies_is_asked_once_and_of_a_policy_that_does_not_scale_never() -> None:
    ground = Ground(promql("queue"), promql("other", "up"))
    ground.policies = Policies(
        services={
            **ground.policies.services,
            "off": replace(policy("off", promql("queue", "vector(1)")), is_enabled=False),
        }
    )
    metrics = CountingMetrics(ground.world)
    metrics.asked = []
    metrics.answers.update({QUERY: 1.0, "up": 2.0})
    sources = Sources(
        runtime=ground.runtime,
        probe=ground.probe,
        metrics=metrics,
        host=FakeHost(ground.world),
        balancer=ground.balancer,
        clock=ground.world.clock,
    )
    snapshot = await Observer("modporter", sources).observe(ground.policies, ground.memory)
    assert sorted(metrics.asked) == sorted([QUERY, "up"])
    assert {key: reading.value for key, reading in snapshot.metrics.items()} == {
        ("backend", "queue"): 1.0,
        ("backend", "other"): 2.0,
        ("frontend", "queue"): 1.0,
        ("frontend", "other"): 2.0,
    }


async def test_without_prometheus_alerts_stay_and_metrics_say_so_once() -> None:
    ground = Ground(promql("queue"), promql("other", "up"))
    ground.metrics.alerts_now = (AlertView(name="Slow", service="backend", severity="page", summary="s"),)
    await ground.look()
    ground.metrics.is_away = True
    ground.world.clock.steady += 30
    snapshot = await ground.look()
    assert [alert.name for alert in snapshot.alerts] == ["Slow"]
    assert snapshot.problems == ("Prometheus does not answer",)
    assert snapshot.metrics["backend", "queue"].problem == "Prometheus could not be asked"


async def test_a_hang_is_known_after_one_look() -> None:
    ground = Ground()
    await ground.look()
    hung = ground.world.of("backend")[1]
    hung.is_hung = True
    ground.world.clock.steady += 2
    probes = {replica.id: replica.probe for replica in backends(await ground.look())}
    probe = probes[hung.id]
    assert probe is not None
    assert (probe.is_ready, probe.is_timeout, probe.failures) == (False, True, 2)
    assert all(other is not None and other.failures == 0 for id_, other in probes.items() if id_ != hung.id)


class CountingProbe(FakeProbe):
    asked: list[str]

    async def load(self, address: str, balancer_addresses: frozenset[str]) -> LoadView | None:
        self.asked.append(address)
        return await super().load(address, balancer_addresses)


async def loads(ground: Ground) -> set[str]:
    """Names of the backends that were asked what they have in hand."""
    probe = CountingProbe(ground.world)
    probe.asked = []
    sources = Sources(
        runtime=ground.runtime,
        probe=probe,
        metrics=ground.metrics,
        host=FakeHost(ground.world),
        balancer=ground.balancer,
        clock=ground.world.clock,
    )
    snapshot = await Observer("modporter", sources).observe(ground.policies, ground.memory)
    asked = {
        f"{ip}:8000": r.name for s in snapshot.services.values() for r in s.replicas for ip in r.addresses.values()
    }
    told = {r.name for s in snapshot.services.values() for r in s.replicas if r.load is not None}
    assert told == {asked[address] for address in probe.asked}
    return told


async def test_nobody_is_asked_for_his_load_while_nobody_may_leave() -> None:
    ground = Ground()
    ground.remember("backend", desired=3, recommendations=(Recommendation(at=ground.world.clock.now(), replicas=3),))
    assert await loads(ground) == set()


async def test_who_leaves_is_asked_for_his_load() -> None:
    ground = Ground()
    leaving = ground.world.of("backend")[0]
    departure = Departure(
        replica_id=leaving.id, errand=Errand.REMOVE, cause=Cause.SURPLUS, why="w", since=ground.world.clock.now()
    )
    ground.remember("backend", desired=3, departures={leaving.id: departure})
    assert await loads(ground) == {leaving.name}


async def test_all_are_asked_where_one_is_to_be_chosen() -> None:
    ground = Ground()
    everyone = {container.name for container in ground.world.of("backend")}
    ground.remember("backend", desired=2)
    assert await loads(ground) == everyone
    now = ground.world.clock.now()
    old, new = Recommendation(at=now - 500, replicas=5), Recommendation(at=now - 10, replicas=2)
    ground.remember("backend", desired=3, recommendations=(old, new))
    assert await loads(ground) == everyone


async def test_a_replica_is_asked_where_nginx_reaches_it() -> None:
    ground = Ground()
    world = FakeWorld()
    world.up(FakeService(name="nginx", image="modporter/nginx:1", networks=("web",)))
    world.up(FakeService(name="backend", image="modporter/backend:1", networks=("admin", "web")))
    world.advance(3)
    asked: list[str] = []

    class Noting(FakeProbe):
        async def ready(self, address: str, path: str, timeout_seconds: float):  # type: ignore[no-untyped-def]
            asked.append(address)
            return await super().ready(address, path, timeout_seconds)

    sources = Sources(
        runtime=FakeRuntime(world),
        probe=Noting(world),
        metrics=ground.metrics,
        host=FakeHost(world),
        balancer=FakeBalancer(world),
        clock=world.clock,
    )
    snapshot = await Observer("modporter", sources).observe(ground.policies, Memory())
    service: ServiceView = snapshot.services["backend"]
    assert asked == [f"{service.replicas[0].addresses['web']}:8000"]
