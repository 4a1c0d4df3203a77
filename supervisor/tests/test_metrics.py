"""What Prometheus reads of the supervisor and of each container."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from supervisor.api.metrics import SupervisorMetrics
from supervisor.domain.memory import Rollout, RolloutPhase, ServiceMemory
from supervisor.domain.plan import Cause, Hold, Reason
from supervisor.domain.snapshot import ContainerState, ProbeView, ReportedHealth
from supervisor.ports import EventSink
from tests.fixtures.supervisor_reports import START, Cycles, replica, started, traffic, usage


class Scrape:
    """A registry with the metrics in it, and the values that a scrape finds."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.incidents: dict[str, int] = {}
        self.metrics = SupervisorMetrics(self.registry, lambda: self.incidents)

    def __call__(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)

    def series(self) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
        text = generate_latest(self.registry).decode()
        return {
            (sample.name, tuple(sorted(sample.labels.items())))
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }


@pytest.fixture
def scrape() -> Scrape:
    return Scrape()


def test_it_is_a_sink_and_empty_before_the_first_cycle(scrape: Scrape) -> None:
    sink: EventSink = scrape.metrics
    assert sink is scrape.metrics
    assert {name for name, _ in scrape.series() if not name.startswith("supervisor_cycle_seconds")} == set()


def test_each_container_has_its_numbers(scrape: Scrape) -> None:
    numbers = usage(
        0,
        network_receive_bytes_total=1,
        network_transmit_bytes_total=2,
        block_read_bytes_total=3,
        block_write_bytes_total=4,
    )
    cycles = Cycles(replicas=[replica(1, usage=numbers, traffic=traffic(0)), replica(2)])
    scrape.metrics.publish(cycles.next())
    of = {"service": "backend", "replica": "modporter-backend-1"}
    for name, value in {
        "container_cpu_seconds_total": 12.5,
        "container_cpu_limit_ratio": 0.5,
        "container_memory_bytes": 2**28,
        "container_memory_limit_ratio": 0.25,
        "container_network_receive_bytes_total": 1,
        "container_network_transmit_bytes_total": 2,
        "container_block_read_bytes_total": 3,
        "container_block_write_bytes_total": 4,
        "container_restarts_total": 0,
        "container_oom_total": 0,
        "upstream_requests_total": 100,
        "upstream_errors_total": 1,
    }.items():
        assert scrape(name, **of) == value, name
    unknown = {"service": "backend", "replica": "modporter-backend-2"}
    assert scrape("container_memory_bytes", **unknown) is None
    assert scrape("container_restarts_total", **unknown) == 0


def test_a_replica_that_is_gone_is_gone_from_the_metrics(scrape: Scrape) -> None:
    cycles = Cycles()
    probe = ProbeView(at=1.0, is_ready=True, failures=0, latency_seconds=0.01)
    cycles.replicas = [replica(number, usage=usage(0), traffic=traffic(0), probe=probe) for number in (1, 2)]
    scrape.metrics.publish(cycles.next())
    assert any("modporter-backend-2" in dict(labels).values() for _, labels in scrape.series())
    del cycles.replicas[1]
    scrape.metrics.publish(cycles.next())
    assert not any("modporter-backend-2" in dict(labels).values() for _, labels in scrape.series())


def test_no_label_grows_without_end(scrape: Scrape) -> None:
    """A thousand replicas, causes and sentences later there are as many series as for the last of them."""
    cycles = Cycles(replicas=[replica(1, usage=usage(0))])
    scrape.metrics.publish(cycles.next(started(1)))
    before = len(scrape.series())
    for number in range(2, 300):
        cycles.replicas = [replica(number, usage=usage(0), addresses={"web": f"10.0.1.{number}"})]
        cycles.sentence = f"Sentence {number}."
        scrape.metrics.publish(cycles.next(started(number)))
    assert len(scrape.series()) == before


def test_restarts_and_ends_for_want_of_memory_are_counted_whoever_restarts(scrape: Scrape) -> None:
    cycles = Cycles(replicas=[replica(1, restart_count=3)])
    of = {"service": "backend", "replica": "modporter-backend-1"}
    seen = []
    for changes in (
        {},
        {"restart_count": 4, "started_at": START},  # by the daemon
        {"restart_count": 0, "started_at": START + timedelta(minutes=1)},  # by somebody: the daemon's count is 0 again
        {"restart_count": 2, "started_at": START + timedelta(minutes=2), "is_oom_killed": True},
        {"restart_count": 3},  # it has ended, and the daemon waits before it starts it again
        {"restart_count": 3, "started_at": START + timedelta(minutes=3), "is_oom_killed": False},
        {"is_oom_killed": True},
        {"restart_count": 4, "started_at": START + timedelta(minutes=4), "is_oom_killed": True},
    ):
        cycles.replicas[0] = replace(cycles.replicas[0], **changes)
        scrape.metrics.publish(cycles.next())
        seen.append((scrape("container_restarts_total", **of), scrape("container_oom_total", **of)))
    assert seen == [(3, 0), (4, 0), (5, 0), (7, 1), (7, 1), (8, 1), (8, 2), (9, 3)]


def test_actions_and_what_held_decisions_back_are_counted(scrape: Scrape) -> None:
    cycles = Cycles()
    cycles.reasons = (
        Reason(text="", is_for=False, hold=Hold.RATE_LIMIT),
        Reason(text="", is_for=False, hold=Hold.RATE_LIMIT),
        Reason(text="", is_for=True, cause=Cause.PANIC),
    )
    scrape.metrics.publish(cycles.next(started(3), started(4, is_done=False)))
    scrape.metrics.publish(cycles.next(started(5)))
    action = {"kind": "StartReplica", "cause": "metric_above_target"}
    assert scrape("supervisor_actions_total", **action, outcome="done") == 2
    assert scrape("supervisor_actions_total", **action, outcome="failed") == 1
    assert scrape("supervisor_decisions_held_total", service="backend", reason="rate_limit") == 2


def test_each_probe_is_counted_once(scrape: Scrape) -> None:
    cycles = Cycles()
    for at in (1.0, 1.0, 2.0, 2.0):
        probe = ProbeView(at=at, is_ready=True, failures=0, latency_seconds=0.02)
        cycles.replicas = [replica(1, probe=probe)]
        scrape.metrics.publish(cycles.next())
    assert scrape("supervisor_probe_seconds_count", service="backend") == 2
    assert scrape("supervisor_probe_seconds_sum", service="backend") == pytest.approx(0.04)


def test_states_of_services(scrape: Scrape) -> None:
    cycles = Cycles(
        replicas=[
            replica(1),
            replica(2, health=ReportedHealth.UNHEALTHY),
            replica(3, state=ContainerState.EXITED, exit_code=0),
        ],
        desired=3,
    )
    scrape.metrics.publish(cycles.next())
    counts = {state: scrape("supervisor_replicas", service="backend", state=state) for state in ("ready", "not ready")}
    assert counts == {"ready": 1, "not ready": 1}
    assert scrape("supervisor_replicas", service="backend", state="stopped") == 1
    assert scrape("supervisor_desired_replicas", service="backend") == 3
    instance = {"service": "backend", "replica": "modporter-backend-2", "instance": "10.0.0.2:8000"}
    assert scrape("supervisor_replica_info", **instance) == 1


def test_the_phase_of_a_rollout(scrape: Scrape) -> None:
    rollout = Rollout(
        id="r",
        service="backend",
        image="i:2",
        image_id="2",
        previous_image="i:1",
        previous_image_id="1",
        by="cli",
        phase=RolloutPhase.BAKING,
        started_at=0.0,
        phase_since=0.0,
        replicas=2,
    )
    cycles = Cycles(memory=ServiceMemory(service="backend", rollout=rollout))
    scrape.metrics.publish(cycles.next())
    assert scrape("supervisor_rollout_phase", service="backend", phase="baking") == 1
    assert scrape("supervisor_rollout_phase", service="backend", phase="canary") == 0


def test_the_supervisor_itself(scrape: Scrape, monkeypatch: pytest.MonkeyPatch) -> None:
    cycles = Cycles()
    scrape.incidents = {"crash": 2}
    scrape.metrics.publish(cycles.next())
    assert scrape("supervisor_cycle_seconds_count") == 1
    assert scrape("supervisor_cycle_seconds_sum") == 0.05
    assert scrape("supervisor_incidents_open", kind="crash") == 2
    assert scrape("supervisor_incidents_open", kind="hang") == 0
    assert (scrape("supervisor_standby"), scrape("supervisor_history_problem")) == (0, 0)
    assert scrape("supervisor_policy_problem") == 0
    cycles.report_changes = {"is_standby": True, "history_problem": "The disk is full.", "policy_problem": "Line 3."}
    cycles.snapshot_changes = {"is_complete": False, "services": {}}
    now = time.monotonic()
    scrape.metrics.publish(cycles.next(started()))
    monkeypatch.setattr(time, "monotonic", lambda: now + 30.0)
    assert (scrape("supervisor_standby"), scrape("supervisor_history_problem")) == (1, 1)
    assert scrape("supervisor_policy_problem") == 1
    assert 30.0 <= (scrape("supervisor_snapshot_age_seconds") or 0) < 31.0
    assert not any(name == "supervisor_actions_total" for name, _ in scrape.series())  # another one acts


def test_names_say_their_unit(scrape: Scrape) -> None:
    cycles = Cycles(replicas=[replica(1, usage=usage(0), traffic=traffic(0))])
    scrape.metrics.publish(cycles.next(started()))
    text = generate_latest(scrape.registry).decode()
    names = set(re.findall(r"^# TYPE (\S+) counter", text, re.MULTILINE))
    assert names
    assert all(name.endswith("_total") for name in names)
    helps = re.findall(r"^# HELP \S+ (.*)$", text, re.MULTILINE)
    assert all(helps)


def test_a_hundred_containers_are_scraped_quickly(scrape: Scrape) -> None:
    cycles = Cycles(replicas=[replica(number, usage=usage(0), traffic=traffic(0)) for number in range(100)])
    report = cycles.next()
    began = time.process_time()
    for _ in range(5):
        scrape.metrics.publish(report)
        generate_latest(scrape.registry)
    assert (time.process_time() - began) / 5 < 0.05
