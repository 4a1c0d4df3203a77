"""What scaling remembers of a service between cycles: wishes, load, and until when a panic, a hold or a pause lasts.
Called by scaling.recommend.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from supervisor.domain import rates
from supervisor.domain.memory import LoadSample, Recommendation, ServiceMemory
from supervisor.domain.scaling_metrics import Fleet, MetricVerdict


def without_expired(memory: ServiceMemory, now: float) -> ServiceMemory:
    """The memory without what has run out: then the policy goes on from where the service is."""
    until = memory.manual_hold_until
    if until is not None and until <= now:
        memory = replace(memory, manual_hold_until=None, manual_replicas=None)
    if memory.panic_until is not None and memory.panic_until <= now:
        memory = replace(memory, panic_until=None)
    pauses = {direction: until for direction, until in memory.pauses.items() if until > now}
    return memory if pauses == memory.pauses else replace(memory, pauses=pauses)


def remembering(fleet: Fleet, verdicts: Sequence[MetricVerdict], wish: int) -> ServiceMemory:
    """The memory with this cycle's wish and load, and with the panic that they begin or prolong.

    While a metric is silent it may want all that there is: its first value afterwards takes nothing away by itself.
    """
    memory, scale, now = fleet.memory, fleet.scale, fleet.snapshot.at
    if any(verdict.forbids_down for verdict in verdicts):
        wish = max(wish, fleet.base)
    newest = Recommendation(at=now, replicas=min(max(wish, scale.min), scale.max))
    wishes = rates.remembered_wishes(memory.recommendations, newest, scale.stabilisation_seconds)
    memory = replace(memory, recommendations=wishes)
    loads = [verdict.load for verdict in verdicts if verdict.load is not None]
    if not loads:
        return memory
    sample = LoadSample(at=now, replicas=max(loads))
    memory = replace(memory, load=rates.remembered_load(memory.load, sample, scale.panic_window_seconds))
    if panic_load(replace(fleet, memory=memory)) is not None:
        memory = replace(memory, panic_until=now + scale.panic_hold_seconds)
    return memory


def panic_load(fleet: Fleet) -> float | None:
    """The load of the panic window (in replicas at target) when it is too much for the ready ones; None: no panic."""
    samples, now = fleet.memory.load, fleet.snapshot.at
    if fleet.ready == 0 or not samples or samples[-1].at != now:
        return None
    load = rates.panic_load(samples, now, fleet.scale.panic_window_seconds)
    return load if load is not None and load >= fleet.scale.panic_factor * fleet.ready else None
