"""What Prometheus reads of the supervisor: its own work, and each container's CPU, memory, network, disk and restarts.

SupervisorMetrics is told of each cycle's report by the loop; GET /metrics writes its registry. What is a state is read
from the newest report at the moment of the scrape, so that a replica that is gone is gone from the metrics too.
"""

from __future__ import annotations

import time
from collections import Counter as Count
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from supervisor.api.states import replica_state
from supervisor.domain.memory import RolloutPhase
from supervisor.domain.snapshot import ReplicaView
from supervisor.domain.troubles import Kind
from supervisor.ports import CycleReport

METRICS_PORT = 8000  # where the application services are scraped: with the address it is the label `instance`
CYCLE_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0)
PROBE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

_CONTAINER = ("service", "replica")


def _none_open() -> Mapping[str, int]:
    return {}


class SupervisorMetrics:
    """An EventSink."""

    def __init__(
        self, registry: CollectorRegistry, open_incidents: Callable[[], Mapping[str, int]] = _none_open
    ) -> None:
        """`open_incidents`: how many are open by kind, asked at each scrape."""
        self._cycle_seconds = Histogram(
            "supervisor_cycle_seconds", "Time from looking to having acted", buckets=CYCLE_BUCKETS, registry=registry
        )
        self._actions = Counter(
            "supervisor_actions", "Actions carried out", ("kind", "cause", "outcome"), registry=registry
        )
        self._held = Counter(
            "supervisor_decisions_held",
            "Cycles in which something was not done, by the reason against it",
            ("service", "reason"),
            registry=registry,
        )
        self._probe_seconds = Histogram(
            "supervisor_probe_seconds",
            "Time that replicas took to answer a probe",
            ("service",),
            buckets=PROBE_BUCKETS,
            registry=registry,
        )
        self._probed_at: dict[str, float] = {}
        self._state = _StateCollector(open_incidents)
        registry.register(self._state)

    def publish(self, report: CycleReport) -> None:
        self._cycle_seconds.observe(report.duration_seconds)
        self._state.take(report)
        if report.is_standby:
            return
        for outcome in report.outcomes:
            result = "done" if outcome.is_done else "failed"
            self._actions.labels(type(outcome.action).__name__, outcome.action.cause.value, result).inc()
        for verdict in report.plan.verdicts.values():
            for hold in {reason.hold for reason in verdict.reasons if reason.hold is not None}:
                self._held.labels(verdict.service, hold.value).inc()
        self._count_probes(report)

    def _count_probes(self, report: CycleReport) -> None:
        """Each probe once, however many cycles see its answer."""
        probed_at = {}
        for replica in _replicas(report):
            if replica.probe is None:
                continue
            probed_at[replica.id] = replica.probe.at
            if self._probed_at.get(replica.id) != replica.probe.at:
                self._probe_seconds.labels(replica.service).observe(replica.probe.latency_seconds)
        if report.snapshot.is_complete:
            self._probed_at = probed_at


@dataclass(frozen=True, slots=True)
class _Lives:
    """Of one container: how often it was started again, and ended for want of memory, as counters that never fall."""

    view: ReplicaView
    restarts: int
    ooms: int
    coming: int = 0  # restarts that the daemon has counted, and not made yet

    @classmethod
    def first(cls, replica: ReplicaView) -> _Lives:
        return cls(replica, replica.restart_count, int(replica.is_oom_killed))

    def next(self, replica: ReplicaView) -> _Lives:
        # The daemon counts its own restarts only, and begins anew when somebody else starts the container.
        coming = self.coming + max(0, replica.restart_count - self.view.restart_count)
        is_restarted = replica.started_at != self.view.started_at
        is_oom = replica.is_oom_killed and (is_restarted or not self.view.is_oom_killed)
        restarts = self.restarts + (max(1, coming) if is_restarted else 0)
        return _Lives(replica, restarts, self.ooms + int(is_oom), 0 if is_restarted else coming)


class _StateCollector(Collector):
    """The newest report as metrics."""

    def __init__(self, open_incidents: Callable[[], Mapping[str, int]]) -> None:
        self._open_incidents = open_incidents
        self._report: CycleReport | None = None
        self._known_at = 0.0
        self._lives: dict[str, _Lives] = {}

    def take(self, report: CycleReport) -> None:
        self._report = report
        if not report.snapshot.is_complete:
            return
        self._known_at = time.monotonic()
        before = self._lives
        self._lives = {
            replica.id: before[replica.id].next(replica) if replica.id in before else _Lives.first(replica)
            for replica in _replicas(report)
        }

    def describe(self) -> Iterable[Metric]:
        return ()  # its names are no other's; registering must not ask for values

    def collect(self) -> Iterator[Metric]:
        if self._report is None:
            return
        yield from self._of_the_supervisor(self._report)
        yield from _of_services(self._report)
        yield from self._of_containers(self._report)
        yield from _of_upstreams(self._report)

    def _of_the_supervisor(self, report: CycleReport) -> Iterator[Metric]:
        yield _gauge(
            "supervisor_snapshot_age_seconds", "Since Docker was last read whole", time.monotonic() - self._known_at
        )
        yield _gauge("supervisor_standby", "1 when another supervisor is in charge", report.is_standby)
        yield _gauge("supervisor_history_problem", "1 when what happens cannot be kept", bool(report.history_problem))
        yield _gauge("supervisor_policy_problem", "1 when policies.yml is not in force", bool(report.policy_problem))
        counts = self._open_incidents()
        family = GaugeMetricFamily("supervisor_incidents_open", "Incidents that are open", labels=("kind",))
        for kind in Kind:
            family.add_metric((kind.value,), counts.get(kind.value, 0))
        yield family

    def _of_containers(self, report: CycleReport) -> Iterator[Metric]:
        restarts = CounterMetricFamily("container_restarts", "Starts after the first", labels=_CONTAINER)
        ooms = CounterMetricFamily("container_oom", "Ends for want of memory", labels=_CONTAINER)
        for replica in _replicas(report):
            lives = self._lives.get(replica.id)
            if lives is not None:
                restarts.add_metric((replica.service, replica.name), lives.restarts)
                ooms.add_metric((replica.service, replica.name), lives.ooms)
        yield restarts
        yield ooms
        yield from _of_usage(report)


def _of_services(report: CycleReport) -> Iterator[Metric]:
    states = GaugeMetricFamily("supervisor_replicas", "Replicas by state", labels=("service", "state"))
    desired = GaugeMetricFamily("supervisor_desired_replicas", "Replicas that there should be", labels=("service",))
    phase = GaugeMetricFamily(
        "supervisor_rollout_phase", "1 for the phase of the newest rollout", labels=("service", "phase")
    )
    info = GaugeMetricFamily(
        "supervisor_replica_info", "Joins names onto what was scraped", labels=("service", "replica", "instance")
    )
    for service in report.snapshot.services.values():
        memory = report.memory.of(service.name)
        counts = Count(
            replica_state(
                replica, memory.replicas.get(replica.id), memory.departures.get(replica.id), report.snapshot.at
            ).value
            for replica in service.replicas
        )
        for state, count in counts.items():
            states.add_metric((service.name, state), count)
        if memory.rollout is not None:
            for each in RolloutPhase:
                phase.add_metric((service.name, each.value), each is memory.rollout.phase)
        for replica in service.replicas:
            for address in sorted(set(replica.addresses.values())):
                info.add_metric((service.name, replica.name, f"{address}:{METRICS_PORT}"), 1)
    for verdict in report.plan.verdicts.values():
        desired.add_metric((verdict.service,), verdict.desired)
    yield from (states, desired, phase, info)


def _of_usage(report: CycleReport) -> Iterator[Metric]:
    used = [(replica, replica.usage) for replica in _replicas(report) if replica.usage is not None]
    for name, text, attribute in (
        ("container_cpu_limit_ratio", "CPU used, of the container's limit", "cpu_ratio"),
        ("container_memory_bytes", "Memory used, without what the kernel can take back", "memory_bytes"),
        ("container_memory_limit_ratio", "Memory used, of the container's limit", "memory_ratio"),
    ):
        gauge = GaugeMetricFamily(name, text, labels=_CONTAINER)
        for replica, usage in used:
            value = getattr(usage, attribute)
            if value is not None:
                gauge.add_metric((replica.service, replica.name), value)
        yield gauge
    for name, text, attribute in (
        ("container_cpu_seconds", "CPU time used", "cpu_seconds_total"),
        ("container_network_receive_bytes", "Bytes received", "network_receive_bytes_total"),
        ("container_network_transmit_bytes", "Bytes sent", "network_transmit_bytes_total"),
        ("container_block_read_bytes", "Bytes read from disks", "block_read_bytes_total"),
        ("container_block_write_bytes", "Bytes written to disks", "block_write_bytes_total"),
    ):
        counter = CounterMetricFamily(name, text, labels=_CONTAINER)
        for replica, usage in used:
            counter.add_metric((replica.service, replica.name), getattr(usage, attribute))
        yield counter


def _of_upstreams(report: CycleReport) -> Iterator[Metric]:
    requests = CounterMetricFamily("upstream_requests", "Attempts that NGINX made", labels=_CONTAINER)
    errors = CounterMetricFamily("upstream_errors", "Attempts that broke off or got a 5xx", labels=_CONTAINER)
    for replica in _replicas(report):
        if replica.traffic is not None:
            requests.add_metric((replica.service, replica.name), replica.traffic.requests)
            errors.add_metric((replica.service, replica.name), replica.traffic.errors)
    yield requests
    yield errors


def _replicas(report: CycleReport) -> Iterator[ReplicaView]:
    return (replica for service in report.snapshot.services.values() for replica in service.replicas)


def _gauge(name: str, text: str, value: float) -> Metric:
    family = GaugeMetricFamily(name, text)
    family.add_metric((), value)
    return family
