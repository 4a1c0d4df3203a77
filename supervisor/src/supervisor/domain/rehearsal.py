"""What a cycle of a dry run may remember: what it saw, and no step that was not taken. Called by loop/reconcile.py.

Otherwise replicas would be on their way out that nobody asked to leave, and leave when the dry run ends.
"""

from __future__ import annotations

from dataclasses import replace

from supervisor.domain.memory import Memory


def without_steps(before: Memory, after: Memory) -> Memory:
    """`after`, in which each service wants what it has, nobody leaves or comes, and a rollout stands still."""
    services = {
        name: replace(
            service,
            desired=None,
            departures={},
            pending_starts={},
            ups=before.of(name).ups,
            downs=before.of(name).downs,
            rollout=before.of(name).rollout,
        )
        for name, service in after.services.items()
    }
    return replace(after, services=services)
