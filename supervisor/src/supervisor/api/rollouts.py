"""A running rollout in numbers: how far it is, and what was seen of new and old in this step. Read by status.py."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from supervisor.api.schemas import Evidence, RolloutStatus
from supervisor.domain.memory import Rollout, RolloutPhase, ServiceMemory, TrafficMark
from supervisor.domain.policy import ServicePolicy
from supervisor.domain.snapshot import LATENCY_BUCKETS, ServiceView, Snapshot

ENDED = frozenset({RolloutPhase.DONE, RolloutPhase.ROLLED_BACK})


def rollout_status(
    view: ServiceView, memory: ServiceMemory, policy: ServicePolicy | None, snapshot: Snapshot
) -> RolloutStatus | None:
    """The rollout that runs; None when there is none."""
    rollout = memory.rollout
    if rollout is None or rollout.phase in ENDED:
        return None
    new = [replica for replica in view.replicas if replica.id in rollout.new_ids]
    old = [replica for replica in view.replicas if replica.id not in rollout.new_ids]
    started_at = snapshot.wall + timedelta(seconds=rollout.started_at - snapshot.at)
    return RolloutStatus(
        id=rollout.id,
        phase=str(rollout.phase),
        image=rollout.image,
        previous_image=rollout.previous_image,
        by=rollout.by,
        weight=_weight(rollout, policy),
        replaced=len(new),
        replicas=rollout.replicas,
        started_at=started_at.replace(microsecond=0),
        new=_evidence(len(new), rollout.new_traffic),
        old=_evidence(len(old), rollout.old_traffic),
    )


def _weight(rollout: Rollout, policy: ServicePolicy | None) -> int:
    weights = policy.rollout.canary_weights if policy is not None else ()
    if rollout.phase is RolloutPhase.STARTING:
        return 0
    if rollout.phase is RolloutPhase.CANARY and rollout.weight_step < len(weights):
        return weights[rollout.weight_step]
    return 100


def _evidence(replicas: int, traffic: TrafficMark) -> Evidence:
    return Evidence(
        replicas=replicas, requests=traffic.requests, errors=traffic.errors, p95_seconds=p95(traffic.latency_counts)
    )


def p95(latency_counts: Sequence[int]) -> float | None:
    """The upper bound of the bucket that 95 % of the answers are in or below; None without answers, or beyond it."""
    wanted, passed = sum(latency_counts) * 0.95, 0
    for bound, count in zip(LATENCY_BUCKETS, latency_counts, strict=False):
        passed += count
        if passed and passed >= wanted:
            return bound
    return None
