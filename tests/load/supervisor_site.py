"""The stack under the load that the supervisor is measured by: something is done to it while requests leave at a fixed
rate and fifty event streams stay open. Used by the measures.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.e2e.journeys import convert
from tests.e2e.stack import Stack
from tests.e2e.supervisor import Supervisor
from tests.load.findings import lost_of, reached
from tests.load.open_loop import Load, Report
from tests.load.supervised import READS, Streams, supervised_traffic

STREAMS = 50
LOST_KEPT = 20
LEAD_SECONDS, TAIL_SECONDS = 10.0, 8.0
WINDOW_SECONDS = 10.0
SETTLE_STREAMS_SECONDS = 3.0


@dataclass(frozen=True)
class Site:
    """The running stack, and what all measures share. `is_long`: as long as the targets say, however long that is."""

    stack: Stack
    supervisor: Supervisor
    work: Path
    mod: Path
    seed: int = 1
    is_long: bool = False
    rate: float = 50.0  # requests a second


@dataclass(frozen=True)
class Run:
    """What the load saw. `began` and `ended`: of what was done meanwhile, on the clock of `report.by_time`."""

    report: Report
    rate: float
    began: float
    ended: float
    streams_reopened: int
    streams_refused: int
    cpu_ratio: float  # of all cores, how busy they were: by the stack, the generator and whatever else runs here

    def _all(self) -> list[tuple[float, str, float]]:
        """Begun, kind, took: also of those that were never answered."""
        answered = [(at, kind, took) for at, kind, took, _ in self.report.by_time]
        return answered + [(loss.began, loss.kind, loss.ended - loss.began) for loss in self.report.failed_by_time]

    def numbers(self) -> dict[str, Any]:
        """What of the load is kept: how many of which kind had which answer, how long each kind took before it began
        and since, and the first of those that were lost, with the seconds since it began."""
        answers: dict[str, dict[str, int]] = {}
        for (kind, status), count in sorted(self.report.answers.items()):
            answers.setdefault(kind, {})[str(status)] = count
        lost = [
            {"left": round(loss.began - self.began, 2), "took": round(loss.ended - loss.began, 2)}
            | {"kind": loss.kind, "what": loss.what}
            for loss in self.report.losses()[:LOST_KEPT]
        ]
        return {
            "asked_per_second": self.rate,
            "seconds": round(self.report.duration_seconds, 1),
            "action_seconds": round(self.ended - self.began, 1),
            "answers": answers,
            "unanswered": dict(Counter(f"{loss.kind}: {loss.what}" for loss in self.report.failed_by_time)),
            "first_lost": lost,
            "took": {kind: self._took(kind) for kind in answers},
            "streams": {"reopened": self.streams_reopened, "refused": self.streams_refused},
            "machine_cpu_ratio": round(self.cpu_ratio, 2),
        }

    def _took(self, kind: str) -> dict[str, list[float]]:
        """Median, p95, p99 and the slowest, in seconds: of the requests before it began, and of those since."""
        seen = [(at, t) for at, name, t in self._all() if name == kind]
        parts = {
            "before": [t for at, t in seen if at < self.began],
            "since": [t for at, t in seen if at >= self.began],
        }
        return {
            name: [round(_quantile(part, share), 4) for share in (0.5, 0.95, 0.99, 1.0)] for name, part in parts.items()
        }

    def lost(self, *kinds: str) -> str:
        return lost_of(self.report, *kinds) + reached(self.report, self.rate)

    def slowest_read(self) -> float:
        """Of those that left after it began, or were under way then."""
        took = [t for at, kind, t in self._all() if kind in READS and at + t >= self.began]
        return max(took, default=0.0)

    def first_good_answer(self) -> float | None:
        """Seconds from the beginning of what was done to the first good answer to a request that left after it."""
        answered = [at + t for at, kind, t, status in self.report.by_time if self._is_good_read(at, kind, status)]
        return min(answered) - self.began if answered else None

    def _is_good_read(self, at: float, kind: str, status: int) -> bool:
        return at >= self.began and kind in READS and status == 200

    def p95(self, *kinds: str) -> tuple[float, float, float]:
        """Before it began, since, and the highest of all windows of ten seconds since."""
        seen = sorted((at, t) for at, kind, t in self._all() if not kinds or kind in kinds)
        before = [t for at, t in seen if at < self.began]
        windows: dict[int, list[float]] = {}
        for at, took in seen:
            if at >= self.began:
                windows.setdefault(int((at - self.began) / WINDOW_SECONDS), []).append(took)
        # The last window may hold a handful.
        full = [took for took in windows.values() if len(took) >= len(before) / 4]
        since = [t for at, t in seen if at >= self.began]
        return _quantile(before), _quantile(since), max(map(_quantile, full), default=0.0)

    def streams(self) -> str:
        return f"{self.streams_reopened} reopened, {self.streams_refused} refused"


def _quantile(values: list[float], share: float = 0.95) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def under_load(
    site: Site, action: Callable[[], None], *, rate: float | None = None, at_most_seconds: float = 120.0
) -> Run:
    """Do `action` (in a thread) while the load runs, at the site's rate or another one; it is given a lead and a tail.
    Ends by itself."""
    rate = rate or site.rate
    with (
        endless_conversion(site) as (conversion_id, session),
        supervised_traffic(site.stack, site.mod, rate=rate) as load,
    ):
        streams = Streams(site.stack, STREAMS)
        opening = streams.open(conversion_id, session)
        idle, total = _cpu_ticks()
        report, began, ended = asyncio.run(_together(load, action, streams, opening, at_most_seconds))
        idle, total = (now - then for now, then in zip(_cpu_ticks(), (idle, total), strict=True))
    return Run(report, rate, began, ended, streams.reconnects, streams.refusals, 1 - idle / total)


def _cpu_ticks() -> tuple[int, int]:
    """Of all cores since the machine started: idle (waiting for a disk is idle), and all."""
    ticks = [int(part) for part in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return ticks[3] + ticks[4], sum(ticks)


async def _together(
    load: Load,
    action: Callable[[], None],
    streams: Streams,
    opening: Coroutine[Any, Any, None],
    at_most_seconds: float,
) -> tuple[Report, float, float]:
    done = asyncio.Event()
    times: list[float] = []

    async def act() -> None:
        try:
            await asyncio.sleep(LEAD_SECONDS)
            times.append(time.monotonic())
            await asyncio.to_thread(action)
            times.append(time.monotonic())
            await asyncio.sleep(TAIL_SECONDS)
        finally:
            done.set()

    await opening
    try:
        await asyncio.sleep(SETTLE_STREAMS_SECONDS)
        streams.reconnects = streams.refusals = 0
        seconds = LEAD_SECONDS + at_most_seconds + TAIL_SECONDS
        report, _ = await asyncio.gather(load.run(seconds=seconds, until=done), act())
    finally:
        await streams.close()
    return report, times[0], times[1]


@contextmanager
def endless_conversion(site: Site) -> Iterator[tuple[str, dict[str, str]]]:
    """A conversion that stays queued, so that its event streams stay open; its id and its owner's session.

    It has no job, and a date in the future keeps the workers from missing one.
    """
    identifier = str(uuid.uuid4())
    with site.stack.visitor() as visitor:
        real = convert(visitor, site.mod)["id"]
        site.stack.sql(
            "INSERT INTO conversions (id, tenant_id, status, file_name, file_size_bytes, file_sha256, created_at) "
            f"SELECT '{identifier}', tenant_id, 'queued', file_name, file_size_bytes, file_sha256, "
            f"now() + interval '1 day' FROM conversions WHERE id = '{real}'"
        )
        try:
            yield identifier, {"Cookie": f"modporter_session={visitor.cookies['modporter_session']}"}
        finally:
            site.stack.sql(f"DELETE FROM conversions WHERE id = '{identifier}'")
            visitor.delete(f"/api/v1/conversions/{real}")
