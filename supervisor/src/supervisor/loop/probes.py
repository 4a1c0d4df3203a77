"""Asks each replica whether it is ready, and counts the failures in a row. Used by observe and, between cycles, by
reconcile.

A replica that stops answering is only noticed by asking, so while the loop runs they are asked every second, and one
that did not answer in time is asked again at once with half a second: a hang is known after 2.5 seconds at most. The
second question goes to the liveness path, because readiness may wait for a store that hangs: then the replica does not.
A cycle takes what is fresh and does not wait for a replica that hangs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from supervisor.domain.snapshot import ProbeView
from supervisor.ports import Clock, HealthProbe, ProbeAnswer, Unavailable

INTERVAL_SECONDS = 1.0
FRESH_SECONDS = 0.9
SUSPECT_TIMEOUT_SECONDS = 0.5

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A replica to ask. A restarted or moved one is another target: its failures count from zero."""

    replica_id: str
    started_at: datetime | None
    address: str  # ip:port
    path: str
    live_path: str  # whoever answers here does not hang; empty: `path` is asked once more instead
    timeout_seconds: float
    failures: int  # in a row, that say that it is in trouble


@dataclass(slots=True)
class _Watched:
    target: Target
    view: ProbeView | None = None
    asking: asyncio.Task[None] | None = None

    @property
    def is_asking(self) -> bool:
        return self.asking is not None and not self.asking.done()


class Probes:
    def __init__(self, probe: HealthProbe, clock: Clock) -> None:
        self._probe = probe
        self._clock = clock
        self._watched: dict[str, _Watched] = {}
        self._on_change: Callable[[], None] | None = None

    def views(self) -> Mapping[str, ProbeView]:
        """The last answers, by replica id."""
        return {replica_id: watched.view for replica_id, watched in self._watched.items() if watched.view is not None}

    async def look(self, targets: Sequence[Target]) -> Mapping[str, ProbeView]:
        """Views of these and of no others, none older than FRESH_SECONDS but of those that are being asked."""
        self._follow(targets)
        waiting = [
            self._ask(watched)
            for watched in self._watched.values()
            if watched.view is None or (self._age(watched) >= FRESH_SECONDS and not watched.is_asking)
        ]
        if waiting:
            await asyncio.wait(waiting)  # cancelled with the cycle's deadline, it leaves them asking
        return self.views()

    async def watch(self, on_change: Callable[[], None]) -> None:
        """Ask every second, and call `on_change` when one becomes ready or is found to be in trouble. Never ends."""
        self._on_change = on_change
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            for watched in self._watched.values():
                if self._age(watched) >= FRESH_SECONDS:
                    self._ask(watched)

    def close(self) -> None:
        self._follow(())

    def _follow(self, targets: Sequence[Target]) -> None:
        wanted = {target.replica_id: target for target in targets}
        for replica_id, watched in list(self._watched.items()):
            if wanted.get(replica_id) != watched.target:
                if watched.asking is not None:
                    watched.asking.cancel()
                del self._watched[replica_id]
        for replica_id, target in wanted.items():
            self._watched.setdefault(replica_id, _Watched(target))

    def _age(self, watched: _Watched) -> float:
        return float("inf") if watched.view is None else self._clock.now() - watched.view.at

    def _ask(self, watched: _Watched) -> asyncio.Task[None]:
        if watched.asking is None or watched.asking.done():
            watched.asking = asyncio.create_task(self._probe_and_note(watched))
        return watched.asking

    async def _probe_and_note(self, watched: _Watched) -> None:
        try:
            before = watched.view
            answer = await self._answer(watched.target, watched.target.timeout_seconds)
            view = self._viewed(answer, before)
            # Each time where there is a liveness path: what did not hang a second ago may do so now, and the reverse.
            if answer.is_timeout and before is not None and (before.is_ready or watched.target.live_path):
                watched.view = view
                view = self._viewed(await self._second_answer(watched.target, answer), view)
            watched.view = view
            if self._on_change is not None and _is_news(before, view, watched.target.failures):
                self._on_change()
        except Exception:
            # A fault of ours says nothing about the replica: what was known of it stays, and grows old.
            log.exception("probe_failed", address=watched.target.address)

    async def _second_answer(self, target: Target, first: ProbeAnswer) -> ProbeAnswer:
        path = target.live_path or target.path
        second = await self._answer(replace(target, path=path), SUSPECT_TIMEOUT_SECONDS)
        if second.is_ready and path != target.path:
            return replace(first, is_timeout=False, detail=f"{target.path} does not answer in time, {path} does")
        return second

    async def _answer(self, target: Target, timeout_seconds: float) -> ProbeAnswer:
        try:
            return await self._probe.ready(target.address, target.path, timeout_seconds)
        except Unavailable as error:
            return ProbeAnswer(is_ready=False, latency_seconds=0.0, detail=str(error))

    def _viewed(self, answer: ProbeAnswer, before: ProbeView | None) -> ProbeView:
        return ProbeView(
            at=self._clock.now(),
            is_ready=answer.is_ready,
            failures=0 if answer.is_ready else 1 + (before.failures if before else 0),
            latency_seconds=answer.latency_seconds,
            is_timeout=answer.is_timeout,
            is_draining=answer.is_draining,
            detail=answer.detail,
        )


def _is_news(before: ProbeView | None, after: ProbeView, failures: int) -> bool:
    if after.is_ready:
        return before is None or not before.is_ready
    return after.failures >= failures > (before.failures if before else 0)
