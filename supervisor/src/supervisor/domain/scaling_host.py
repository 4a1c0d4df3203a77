"""How many more replicas of a service the host can hold. Called by scaling.recommend, and for an operator's number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from supervisor.domain.memory import ServiceMemory
from supervisor.domain.policy import ScalePolicy
from supervisor.domain.scaling_metrics import fresh_usages, is_serving
from supervisor.domain.snapshot import HostView, ServiceView, Snapshot, UsageView

_MAX_AGE_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRoom:
    """replicas: how many more fit beside the ready ones; None: not known, so nothing is forbidden."""

    replicas: int | None
    text: str
    inputs: Mapping[str, float | int | str | None] = field(default_factory=dict)


def room_for(service: ServiceView, memory: ServiceMemory, scale: ScalePolicy, snapshot: Snapshot) -> HostRoom:
    """What the host has left below the policy's bounds, in replicas as costly as the mean of the present ones."""
    host = snapshot.host
    if host is None or snapshot.at - host.at > _MAX_AGE_SECONDS:
        return HostRoom(replicas=None, text="nothing is known about the host")
    serving = [replica for replica in service.replicas if is_serving(replica, memory)]
    usages = fresh_usages(serving, snapshot.at, _MAX_AGE_SECONDS)
    by_memory = _memory_room(host, usages, scale.host_memory_ratio)
    by_cpu = _cpu_room(host, usages, scale.host_cpu_ratio)
    known = [room for room in (by_cpu, by_memory) if room.replicas is not None]
    return min(known, key=lambda room: room.replicas or 0, default=by_memory)


def _cpu_room(host: HostView, usages: list[UsageView], bound_ratio: float) -> HostRoom:
    if host.cpu_ratio is None:
        return HostRoom(replicas=None, text="the host's CPU is not known")
    cost = _mean([usage.cpu_cores for usage in usages if usage.cpu_cores is not None])
    left = host.cpus * (bound_ratio - host.cpu_ratio)
    return HostRoom(
        replicas=_fitting(left, cost),
        text=f"the host uses {host.cpu_ratio:.0%} of {host.cpus} CPUs, and {bound_ratio:.0%} is the bound",
        inputs={"host_cpu_ratio": host.cpu_ratio, "bound": bound_ratio, "cores_per_replica": cost},
    )


def _memory_room(host: HostView, usages: list[UsageView], bound_ratio: float) -> HostRoom:
    if host.memory_bytes <= 0:
        return HostRoom(replicas=None, text="the host's memory is not known")
    used = host.memory_bytes - host.memory_available_bytes
    cost = _mean([float(usage.memory_bytes) for usage in usages])
    ratio = used / host.memory_bytes
    return HostRoom(
        replicas=_fitting(host.memory_bytes * bound_ratio - used, cost),
        text=f"the host uses {ratio:.0%} of its memory, and {bound_ratio:.0%} is the bound",
        inputs={"host_memory_ratio": ratio, "bound": bound_ratio, "bytes_per_replica": cost},
    )


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _fitting(left: float, cost: float | None) -> int | None:
    """How many replicas of that cost fit; with an unknown cost only a full host is certain."""
    if left <= 0:
        return 0
    return math.floor(left / cost) if cost else None
