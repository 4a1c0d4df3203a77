"""The rest of a world that is only looked at, beside dry_run_runtime.py: lists are not written, nothing is saved, and
nobody else's lease is in the way. Used by bootstrap for `supervisor plan`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from supervisor.domain.memory import Memory
from supervisor.domain.snapshot import BalancerView, Member, TrafficView
from supervisor.ports import CycleReport, History, LoadBalancer


class DryRunBalancer:
    """Reads the lists that are in force."""

    def __init__(self, balancer: LoadBalancer) -> None:
        self._balancer = balancer

    async def view(self) -> BalancerView:
        return await self._balancer.view()

    async def set_members(self, members: Mapping[str, Sequence[Member]], *, cause: str) -> int:
        """The generation stays what it is."""
        return (await self._balancer.view()).written

    def traffic(self, at: float) -> Mapping[str, TrafficView]:
        return self._balancer.traffic(at)


class DryRunHistory:
    """Reads the memory of the supervisor that acts."""

    def __init__(self, history: History) -> None:
        self._history = history

    @property
    def problem(self) -> str:
        return self._history.problem

    async def load_memory(self) -> Memory | None:
        return await self._history.load_memory()

    async def save_memory(self, memory: Memory) -> bool:
        return True

    async def record(self, report: CycleReport) -> None:
        return None


class NoLease:
    """Looking needs none."""

    problem = ""

    def acquire(self) -> bool:
        return True
