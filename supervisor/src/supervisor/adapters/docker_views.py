"""Turns what Docker answers into ReplicaView and ServiceView. Used by docker_runtime.

The list is cheap and read each cycle: state, health, addresses. What only an inspection tells (times, exit code,
restarts, policy, limits, output of the health check) is kept as `Details` and read again when the list says that
something changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from supervisor.adapters.docker_clone import CLONE_LABEL, NUMBER_LABEL, SERVICE_LABEL
from supervisor.adapters.docker_events import Ending
from supervisor.domain.snapshot import ContainerState, ReplicaView, ReportedHealth, ServiceView

CONFIG_LABEL = "com.docker.compose.config-hash"
DEPENDS_LABEL = "com.docker.compose.depends_on"
ONE_OFF_LABEL = "com.docker.compose.oneoff"
OWN_PREFIX = "supervisor."
OUTPUT_CHARACTERS = 1000

_UNITS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800, "month": 2592000, "year": 31536000}
_UPTIME = re.compile(r"Up (?:(?P<count>\d+)|About an?|Less than a) (?P<unit>[a-z]+?)s?\b")

Entry = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What an inspection told, and the list's entry at that time as far as it says that something changed."""

    inspected_at: float
    state: str
    health: ReportedHealth
    image: str
    started_at: datetime | None
    finished_at: datetime | None
    exit_code: int
    is_oom_killed: bool
    restart_count: int
    restart_policy: str
    cpu_limit: float | None
    last_probe_output: str


def details_of(inspection: Mapping[str, Any], entry: Entry, at: float) -> Details:
    state, host = inspection["State"], inspection["HostConfig"]
    health = state.get("Health") or {}
    outputs = health.get("Log") or ()
    return Details(
        inspected_at=at,
        state=entry["State"],
        health=health_of(entry) or _health(health.get("Status")),
        image=inspection["Config"]["Image"],
        started_at=_moment(state.get("StartedAt")),
        finished_at=_moment(state.get("FinishedAt")),
        exit_code=int(state.get("ExitCode") or 0),
        is_oom_killed=bool(state.get("OOMKilled")),
        restart_count=int(inspection.get("RestartCount") or 0),
        restart_policy=(host.get("RestartPolicy") or {}).get("Name") or "no",
        cpu_limit=cpu_limit(host),
        last_probe_output=str(outputs[-1].get("Output", "")).strip()[:OUTPUT_CHARACTERS] if outputs else "",
    )


def cpu_limit(host: Mapping[str, Any]) -> float | None:
    """In CPUs; None when there is none."""
    if host.get("NanoCpus"):
        return float(host["NanoCpus"]) / 1e9
    if host.get("CpuQuota", 0) > 0:
        return float(host["CpuQuota"]) / float(host.get("CpuPeriod") or 100_000)
    return None


def replica_of(entry: Entry, details: Details | None, ending: Ending | None) -> ReplicaView:
    """`details` is None when the inspection failed; `ending` is what events told of the last exit."""
    labels = entry["Labels"]
    state = ContainerState(entry["State"])
    is_running = state is ContainerState.RUNNING
    exit_code = None if details is None or is_running else details.exit_code
    is_oom_killed = details is not None and details.is_oom_killed
    # Docker forgets both as it starts the container again, which may be between the list and the inspection.
    is_forgotten = is_running or (state is ContainerState.RESTARTING and not exit_code)
    if ending is not None and is_forgotten:
        exit_code, is_oom_killed = ending.exit_code, ending.is_oom_killed
    return ReplicaView(
        id=entry["Id"],
        name=name_of(entry),
        service=labels[SERVICE_LABEL],
        number=int(labels.get(NUMBER_LABEL) or 0),
        state=state,
        health=health_of(entry) or (details.health if details and not is_running else ReportedHealth.NONE),
        image=details.image if details else entry["Image"],
        image_id=entry["ImageID"],
        config_hash=labels.get(CONFIG_LABEL, ""),
        is_clone=CLONE_LABEL in labels,
        created_at=datetime.fromtimestamp(entry["Created"], tz=UTC) if entry.get("Created") else None,
        started_at=details.started_at if details else None,
        finished_at=details.finished_at if details else None,
        exit_code=exit_code,
        is_oom_killed=is_oom_killed,
        restart_count=details.restart_count if details else 0,
        restart_policy=details.restart_policy if details else "",
        addresses=_addresses(entry),
        network_parent=network_parent((entry.get("HostConfig") or {}).get("NetworkMode", "")),
        last_probe_output=details.last_probe_output if details else "",
    )


def services_of(entries: Iterable[Entry], replicas: Mapping[str, ReplicaView]) -> dict[str, ServiceView]:
    """Grouped by service, replicas in the order of their numbers. Dependencies and labels are the newest replica's."""
    grouped: dict[str, list[Entry]] = {}
    for entry in entries:
        grouped.setdefault(entry["Labels"][SERVICE_LABEL], []).append(entry)
    services = {}
    for name in sorted(grouped):
        newest = max(grouped[name], key=lambda entry: (entry.get("Created") or 0, entry["Id"]))["Labels"]
        members = [replicas[entry["Id"]] for entry in grouped[name]]
        services[name] = ServiceView(
            name=name,
            replicas=tuple(sorted(members, key=lambda replica: (replica.number, replica.id))),
            depends_on=dependencies(newest.get(DEPENDS_LABEL, "")),
            labels={key: value for key, value in newest.items() if key.startswith(OWN_PREFIX) and key != CLONE_LABEL},
        )
    return services


def is_replica(entry: Entry) -> bool:
    """Not a container of `docker compose run`."""
    labels = entry.get("Labels") or {}
    return SERVICE_LABEL in labels and labels.get(ONE_OFF_LABEL, "False").lower() != "true"


def is_changed(entry: Entry, before: Entry | None, details: Details | None) -> bool:
    """Whether the list says that the last inspection no longer holds."""
    if before is None or details is None:
        return True
    health = health_of(entry)
    return (
        details.state != entry["State"]
        or (health is not None and health is not details.health)
        or uptime_seconds(entry["Status"]) < uptime_seconds(before["Status"])
    )


def name_of(entry: Entry) -> str:
    return str(entry["Names"][0]).lstrip("/") if entry.get("Names") else str(entry["Id"])[:12]


def health_of(entry: Entry) -> ReportedHealth | None:
    """From the status text: the list has no field for it before API 1.52. None: it does not say."""
    text = str(entry.get("Status", ""))
    if text.endswith("(healthy)"):
        return ReportedHealth.HEALTHY
    if text.endswith("(unhealthy)"):
        return ReportedHealth.UNHEALTHY
    if text.endswith("(health: starting)"):
        return ReportedHealth.STARTING
    return None


def uptime_seconds(status: str) -> int:
    """How long it has been up, as roughly as the text says; 0 when it is not. Falls only by a restart."""
    found = _UPTIME.match(status)
    if found is None:
        return 0
    if "Less than" in found.group(0):
        return 0
    return int(found.group("count") or 1) * _UNITS.get(found.group("unit"), 1)


def dependencies(label: str) -> tuple[str, ...]:
    """From `a:service_started:false,b:service_healthy:true`."""
    return tuple(sorted({part.split(":")[0] for part in label.split(",") if part}))


def network_parent(mode: str) -> str:
    return mode.removeprefix("container:") if mode.startswith("container:") else ""


def _addresses(entry: Entry) -> dict[str, str]:
    networks = (entry.get("NetworkSettings") or {}).get("Networks") or {}
    return {name: n["IPAddress"] for name, n in sorted(networks.items()) if n and n.get("IPAddress")}


def _health(status: str | None) -> ReportedHealth:
    try:
        return ReportedHealth(status or "none")
    except ValueError:
        return ReportedHealth.NONE


def _moment(text: str | None) -> datetime | None:
    """Docker writes a time that never was as year 1."""
    return datetime.fromisoformat(text) if text and not text.startswith("0001-") else None
