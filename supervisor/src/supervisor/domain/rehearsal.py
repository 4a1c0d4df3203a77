"""What a cycle of a dry run may remember: what it saw, and no step that was not taken. Called by loop/reconcile.py.

Otherwise replicas would be on their way out that nobody asked to leave, and leave when the dry run ends. What was begun
before it stands still: a database that was stopped to be started again is started when the dry run is over.
"""

from __future__ import annotations

from dataclasses import replace

from supervisor.domain.memory import Memory, ReplicaMemory


def without_steps(before: Memory, after: Memory) -> Memory:
    """`after`, in which each service wants what it has, nobody else leaves or comes, and a rollout stands still."""
    services = {
        name: replace(
            service,
            desired=None,
            departures=before.of(name).departures,
            replicas={
                id_: _without_attempts(before.of(name).replicas.get(id_), known)
                for id_, known in service.replicas.items()
            },
            pending_starts=before.of(name).pending_starts,
            ups=before.of(name).ups,
            downs=before.of(name).downs,
            rollout=before.of(name).rollout,
        )
        for name, service in after.services.items()
    }
    return replace(after, services=services)


def _without_attempts(before: ReplicaMemory | None, after: ReplicaMemory) -> ReplicaMemory:
    """Without restarts and a quarantine that were only thought of."""
    if before is None:
        return after
    return replace(
        after,
        failed_restarts=min(before.failed_restarts, after.failed_restarts),
        quarantined_until=None if before.quarantined_until is None else after.quarantined_until,
        quarantines=min(before.quarantines, after.quarantines),
        waits_for=() if before.quarantined_until is None else after.waits_for,
    )
