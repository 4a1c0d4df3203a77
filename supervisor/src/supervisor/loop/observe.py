"""Reads everything that a cycle decides on, all at once and with one deadline. Called by reconcile.

Docker away makes the snapshot incomplete: it then shows what was seen last, and nothing may be done. Anything else
that is away is left out, and named in `problems`. What was read before and is used again says so by its age.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import structlog

from supervisor.domain.addresses import balancer_addresses, balancer_networks, reachable_ip
from supervisor.domain.memory import Memory, ServiceMemory
from supervisor.domain.policy import MetricKind, Policies, ServicePolicy
from supervisor.domain.snapshot import (
    AlertView,
    ContainerState,
    LoadView,
    MetricReading,
    ReplicaView,
    ServiceView,
    Snapshot,
    TrafficView,
)
from supervisor.loop.probes import Probes, Target
from supervisor.ports import Clock, ContainerRuntime, HealthProbe, HostMetrics, LoadBalancer, MetricsSource, Unavailable

DEADLINE_SECONDS = 1.5
ALERTS_SECONDS = 10.0  # between two looks at the alerts, which Prometheus evaluates no more often

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    runtime: ContainerRuntime
    probe: HealthProbe
    metrics: MetricsSource
    host: HostMetrics
    balancer: LoadBalancer
    clock: Clock


@dataclass(slots=True)
class _Deadline:
    """Runs one reading after another until the same moment, and notes what did not succeed."""

    until: float  # the event loop's seconds
    problems: list[str] = field(default_factory=list)

    async def read(self, what: str, reading: Awaitable[T], otherwise: T) -> T:
        try:
            async with asyncio.timeout_at(self.until):
                return await reading
        except TimeoutError:
            self.problems.append(f"{what} did not answer in time")
        except Unavailable as error:
            self.problems.append(str(error))
        except Exception as error:
            log.exception("reading_failed", what=what)
            self.problems.append(f"{what} could not be read: {error!r}")
        return otherwise


class Observer:
    def __init__(self, project: str, sources: Sources, deadline_seconds: float = DEADLINE_SECONDS) -> None:
        self._project = project
        self._sources = sources
        self._deadline_seconds = deadline_seconds
        self.probes = Probes(sources.probe, sources.clock)
        self._services: Mapping[str, ServiceView] = {}  # as they were seen last
        self._alerts: tuple[AlertView, ...] = ()
        self._alerts_at = float("-inf")

    async def observe(self, policies: Policies, memory: Memory) -> Snapshot:
        """Never raises; takes no longer than the deadline."""
        sources = self._sources
        deadline = _Deadline(asyncio.get_running_loop().time() + self._deadline_seconds)
        metrics, alerts, host, balancer, services = await asyncio.gather(
            self._metrics(policies, deadline),
            self._read_alerts(deadline),
            deadline.read("the host", sources.host.read(), None),
            deadline.read("the load balancer", sources.balancer.view(), None),
            self._services_with_replicas(policies, memory, deadline),
        )
        return Snapshot(
            at=sources.clock.now(),
            wall=sources.clock.wall(),
            project=self._project,
            services=self._services,
            metrics=metrics,
            host=host,
            balancer=balancer,
            alerts=alerts,
            is_complete=services is not None,
            problems=tuple(dict.fromkeys(deadline.problems)),
        )

    async def _services_with_replicas(
        self, policies: Policies, memory: Memory, deadline: _Deadline
    ) -> Mapping[str, ServiceView] | None:
        services = await deadline.read("Docker", _known(self._sources.runtime.services()), None)
        if services is None:
            return None
        replicas = [replica for service in services.values() for replica in service.replicas]
        usage, probes, loads = await asyncio.gather(
            deadline.read("the usage of containers", self._sources.runtime.usage(replicas), {}),
            deadline.read("a probe", self.probes.look(list(_targets(services, policies))), None),
            self._loads(services, policies, memory, deadline),
        )
        views = probes if probes is not None else self.probes.views()
        traffic = self._traffic()
        self._services = {
            name: replace(
                service,
                replicas=tuple(
                    replace(
                        replica,
                        usage=usage.get(replica.id),
                        probe=views.get(replica.id),
                        load=loads.get(replica.id),
                        traffic=_traffic_of(replica, policies.of(name), traffic),
                    )
                    for replica in service.replicas
                ),
            )
            for name, service in services.items()
        }
        return self._services

    async def _metrics(self, policies: Policies, deadline: _Deadline) -> Mapping[tuple[str, str], MetricReading]:
        """Each distinct query once, whoever wants it."""
        wanted: dict[str, list[tuple[str, str]]] = {}
        for service, policy in policies.services.items():
            if policy.is_enabled and policy.scale.is_enabled:
                for metric in policy.scale.metrics:
                    if metric.kind is MetricKind.PROMQL:
                        wanted.setdefault(metric.query, []).append((service, metric.name))
        missing = MetricReading(at=self._sources.clock.now(), value=None, problem="Prometheus could not be asked")
        readings = await asyncio.gather(
            *(deadline.read("Prometheus", self._sources.metrics.query(query), missing) for query in wanted)
        )
        return {key: reading for keys, reading in zip(wanted.values(), readings, strict=True) for key in keys}

    async def _read_alerts(self, deadline: _Deadline) -> tuple[AlertView, ...]:
        """On failure those that were seen last: that an alert is not known is no reason to believe that it ended."""
        now = self._sources.clock.now()
        if now - self._alerts_at >= ALERTS_SECONDS:
            alerts = await deadline.read("Prometheus", _known(self._sources.metrics.alerts()), None)
            if alerts is not None:
                self._alerts, self._alerts_at = alerts, now
        return self._alerts

    async def _loads(
        self, services: Mapping[str, ServiceView], policies: Policies, memory: Memory, deadline: _Deadline
    ) -> Mapping[str, LoadView]:
        """What replicas have in hand: of those that leave, and where one may be chosen to leave."""
        networks, balancers = balancer_networks(services), balancer_addresses(services)
        wanted = {}
        for name, service in services.items():
            policy = policies.of(name)
            if policy is None or not policy.is_balanced:
                continue
            for replica in _asked_for_load(service, memory.of(name), policy, self._sources.clock.now()):
                ip = reachable_ip(replica, networks)
                if ip is not None:
                    wanted[replica.id] = f"{ip}:{policy.port}"
        loads = await asyncio.gather(
            *(
                deadline.read(f"the load of {address}", self._sources.probe.load(address, balancers), None)
                for address in wanted.values()
            )
        )
        return {replica_id: load for replica_id, load in zip(wanted, loads, strict=True) if load is not None}

    def _traffic(self) -> Mapping[str, TrafficView]:
        try:
            return self._sources.balancer.traffic(self._sources.clock.now())
        except Exception:
            log.exception("reading_failed", what="traffic")
            return {}


async def _known(reading: Awaitable[T]) -> T | None:
    return await reading


def _targets(services: Mapping[str, ServiceView], policies: Policies) -> list[Target]:
    """Running replicas of services whose policy names a path to ask."""
    networks = balancer_networks(services)
    targets = []
    for name, service in services.items():
        policy = policies.of(name)
        if policy is None or not policy.heal.probe_path:
            continue
        for replica in service.replicas:
            ip = reachable_ip(replica, networks)
            if replica.state is ContainerState.RUNNING and ip is not None:
                target = Target(
                    replica_id=replica.id,
                    started_at=replica.started_at,
                    address=f"{ip}:{policy.heal.probe_port}",
                    path=policy.heal.probe_path,
                    live_path=policy.heal.live_path,
                    timeout_seconds=policy.heal.probe_timeout_seconds,
                    failures=policy.heal.probe_failures,
                )
                targets.append(target)
    return targets


def _asked_for_load(
    service: ServiceView, memory: ServiceMemory, policy: ServicePolicy, now: float
) -> Sequence[ReplicaView]:
    running = [replica for replica in service.replicas if replica.state is ContainerState.RUNNING]
    if len(running) > 1 and _may_lose_one(len(running), memory, policy, now):
        return running
    return [replica for replica in running if replica.id in memory.departures]


def _may_lose_one(running: int, memory: ServiceMemory, policy: ServicePolicy, now: float) -> bool:
    """More run than are wanted, or nothing within the stabilisation window wanted as many."""
    if memory.desired is not None and running > memory.desired:
        return True
    since = now - policy.scale.stabilisation_seconds
    recent = [r.replicas for r in memory.recommendations if r.at >= since]
    return policy.scale.is_enabled and bool(recent) and max(recent) < running


def _traffic_of(
    replica: ReplicaView, policy: ServicePolicy | None, traffic: Mapping[str, TrafficView]
) -> TrafficView | None:
    if policy is None or not policy.is_balanced:
        return None
    addresses = (f"{ip}:{policy.port}" for ip in replica.addresses.values())
    return next((traffic[address] for address in addresses if address in traffic), None)
