"""What Docker's list and inspection say, in the words of the snapshot."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from supervisor.adapters.docker_events import Ending
from supervisor.adapters.docker_views import (
    Details,
    cpu_limit,
    dependencies,
    details_of,
    health_of,
    is_changed,
    is_replica,
    replica_of,
    services_of,
    uptime_seconds,
)
from supervisor.domain.snapshot import ContainerState, ReportedHealth


def entry(status: str = "Up 5 minutes", state: str = "running", **changes: Any) -> dict[str, Any]:
    labels = {
        "com.docker.compose.project": "p",
        "com.docker.compose.service": "web",
        "com.docker.compose.container-number": "2",
        "com.docker.compose.oneoff": "False",
        **changes.pop("labels", {}),
    }
    return {
        "Id": "id",
        "Names": ["/p-web-2"],
        "Image": "web:1",
        "ImageID": "sha256:1",
        "Created": 1_700_000_000,
        "State": state,
        "Status": status,
        "Labels": labels,
        "HostConfig": {"NetworkMode": "p_front"},
        "NetworkSettings": {"Networks": {"p_front": {"IPAddress": "10.0.0.2"}, "p_back": {"IPAddress": ""}}},
        **changes,
    }


def inspection(**state: Any) -> dict[str, Any]:
    return {
        "State": {"StartedAt": "2026-01-01T00:00:00.123456789Z", "FinishedAt": "0001-01-01T00:00:00Z", **state},
        "Config": {"Image": "web:1"},
        "HostConfig": {"RestartPolicy": {"Name": "unless-stopped"}, "NanoCpus": 500_000_000},
        "RestartCount": 3,
    }


def details(listed: dict[str, Any], **state: Any) -> Details:
    return details_of(inspection(**state), listed, at=10.0)


@pytest.mark.parametrize(
    ("status", "health"),
    [
        ("Up 2 seconds (healthy)", ReportedHealth.HEALTHY),
        ("Up 2 hours (unhealthy)", ReportedHealth.UNHEALTHY),
        ("Up 1 second (health: starting)", ReportedHealth.STARTING),
        ("Up 2 hours", None),
        ("Exited (0) 3 minutes ago", None),
    ],
)
def test_health_is_read_from_the_status_text(status: str, health: ReportedHealth | None) -> None:
    assert health_of(entry(status)) is health


@pytest.mark.parametrize(
    ("status", "seconds"),
    [
        ("Up Less than a second", 0),
        ("Up 1 second", 1),
        ("Up 59 seconds (healthy)", 59),
        ("Up About a minute", 60),
        ("Up 12 minutes (unhealthy)", 720),
        ("Up About an hour", 3600),
        ("Up 3 days", 259200),
        ("Up 2 weeks", 1209600),
        ("Exited (137) 5 seconds ago", 0),
        ("Restarting (1) 2 seconds ago", 0),
        ("Created", 0),
    ],
)
def test_uptime_is_read_from_the_status_text(status: str, seconds: int) -> None:
    assert uptime_seconds(status) == seconds


def test_a_container_is_inspected_again_only_when_the_list_says_that_it_changed() -> None:
    before = entry("Up 5 minutes (healthy)")
    known = details(before)
    assert not is_changed(entry("Up 6 minutes (healthy)"), before, known)
    assert is_changed(entry("Up 6 minutes (unhealthy)"), before, known)
    assert is_changed(entry("Exited (1) 1 second ago", state="exited"), before, known)
    assert is_changed(entry("Up 1 second (healthy)"), before, known)  # restarted between two lists
    assert is_changed(before, None, known)
    assert is_changed(before, before, None)


def test_a_replica_has_what_the_list_and_the_inspection_say() -> None:
    listed = entry("Up 5 minutes (unhealthy)")
    log = [{"Output": "fine"}, {"Output": " connection refused\n"}]
    replica = replica_of(listed, details(listed, Health={"Status": "unhealthy", "Log": log}), None)
    assert (replica.name, replica.service, replica.number) == ("p-web-2", "web", 2)
    assert replica.state is ContainerState.RUNNING
    assert replica.health is ReportedHealth.UNHEALTHY
    assert replica.started_at == datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)
    assert replica.finished_at is None
    assert replica.exit_code is None
    assert replica.restart_count == 3
    assert replica.restart_policy == "unless-stopped"
    assert replica.addresses == {"p_front": "10.0.0.2"}
    assert replica.last_probe_output == "connection refused"


def test_a_replica_that_could_not_be_inspected_is_shown_with_what_the_list_says() -> None:
    replica = replica_of(entry("Up 5 minutes (healthy)"), None, None)
    assert replica.health is ReportedHealth.HEALTHY
    assert (replica.started_at, replica.restart_policy, replica.image) == (None, "", "web:1")


def test_the_exit_code_of_a_container_that_does_not_run_is_the_inspection_s() -> None:
    listed = entry("Exited (137) 1 second ago", state="exited")
    replica = replica_of(listed, details(listed, ExitCode=137, OOMKilled=True), Ending(exit_code=0))
    assert (replica.exit_code, replica.is_oom_killed) == (137, True)


def test_what_docker_forgets_with_the_restart_is_what_events_told() -> None:
    listed = entry("Up 1 second")
    replica = replica_of(listed, details(listed, ExitCode=0), Ending(exit_code=137, is_oom_killed=True))
    assert (replica.exit_code, replica.is_oom_killed) == (137, True)


@pytest.mark.parametrize(("inspected", "told"), [(0, 137), (1, 1)])
def test_a_container_that_was_listed_before_its_restart_and_inspected_after_it_keeps_its_exit_code(
    inspected: int, told: int
) -> None:
    listed = entry("Restarting (137) 1 second ago", state="restarting")
    replica = replica_of(listed, details(listed, ExitCode=inspected), Ending(exit_code=137))
    assert replica.exit_code == told


def test_a_shared_network_names_its_parent() -> None:
    shared = entry(HostConfig={"NetworkMode": "container:abc"}, NetworkSettings={"Networks": {}})
    assert replica_of(shared, None, None).network_parent == "abc"


def test_services_are_grouped_with_the_labels_of_the_newest_replica() -> None:
    old = entry(Id="old", labels={"supervisor.scale.max": "3", "com.docker.compose.container-number": "1"})
    new = entry(
        Id="new",
        Created=1_800_000_000,
        labels={
            "supervisor.scale.max": "5",
            "supervisor.clone": "1-1 panic",
            "com.docker.compose.depends_on": "store:service_healthy:true,migrate:service_completed_successfully:false",
        },
    )
    replicas = {listed["Id"]: replica_of(listed, None, None) for listed in (new, old)}
    service = services_of([new, old], replicas)["web"]
    assert [replica.id for replica in service.replicas] == ["old", "new"]
    assert service.labels == {"supervisor.scale.max": "5"}
    assert service.depends_on == ("migrate", "store")
    assert replicas["new"].is_clone
    assert not replicas["old"].is_clone


def test_containers_of_compose_run_are_no_replicas() -> None:
    assert is_replica(entry())
    assert not is_replica(entry(labels={"com.docker.compose.oneoff": "True"}))
    assert not is_replica({"Id": "x", "Labels": None})


@pytest.mark.parametrize(
    ("host", "cpus"),
    [({"NanoCpus": 1_500_000_000}, 1.5), ({"CpuQuota": 50_000, "CpuPeriod": 100_000}, 0.5), ({"CpuQuota": -1}, None)],
)
def test_the_limit_of_processors(host: dict[str, int], cpus: float | None) -> None:
    assert cpu_limit(host) == cpus


def test_no_dependencies() -> None:
    assert dependencies("") == ()
