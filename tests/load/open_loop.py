"""Open-loop load: requests leave at a fixed rate whether or not earlier ones were answered, as those of many people do.

Used by the scenarios and by `make bench`. It sends to the address that it is given and ends by itself.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import httpx

Request = Callable[[httpx.AsyncClient], Awaitable[httpx.Response]]


@dataclass(frozen=True)
class Loss:
    """A request without an answer or with a bad one: when it left and when it was given up, on the steady clock."""

    began: float
    ended: float
    kind: str
    what: str  # the status, or the name of the error


@dataclass
class Report:
    """What came back: answers by (kind, status), failures without an answer, and how long each took.

    `accepted` names the statuses that are good answers to a kind; to others 2xx and 429 are.
    """

    accepted: Mapping[str, frozenset[int]] = field(default_factory=dict)
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    by_time: list[tuple[float, str, float, int]] = field(default_factory=list)  # begun, kind, took, status
    failed_by_time: list[Loss] = field(default_factory=list)
    duration_seconds: float = 0.0

    @property
    def sent(self) -> int:
        return sum(self.answers.values()) + len(self.failures)

    def lost(self, *kinds: str) -> list[str]:
        """What came back of requests without an answer, or with a bad one, and how often; of all kinds or of these."""
        bad = Counter(f"{loss.kind}: {loss.what}" for loss in self.losses(*kinds))
        return [f"{what} x{count}" for what, count in sorted(bad.items())]

    def lost_count(self, *kinds: str) -> int:
        """How many requests `lost` speaks of."""
        bad = (
            count
            for (kind, status), count in self.answers.items()
            if self._counts(kind, kinds) and not self._is_good(kind, status)
        )
        return sum(bad) + sum(self._counts(line.split(":")[0], kinds) for line in self.failures)

    def losses(self, *kinds: str) -> list[Loss]:
        """The same requests, each with its times, in the order in which they left."""
        bad = [
            Loss(at, at + took, kind, str(status))
            for at, kind, took, status in self.by_time
            if not self._is_good(kind, status)
        ]
        found = [loss for loss in (*bad, *self.failed_by_time) if self._counts(loss.kind, kinds)]
        return sorted(found, key=lambda loss: loss.began)

    def _is_good(self, kind: str, status: int) -> bool:
        return status in self.accepted[kind] if kind in self.accepted else 200 <= status < 300 or status == 429

    @staticmethod
    def _counts(kind: str, kinds: tuple[str, ...]) -> bool:
        return not kinds or kind in kinds

    def quantile(self, share: float) -> float:
        ordered = sorted(self.seconds)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


@dataclass(frozen=True)
class Load:
    """`rate` requests a second for `seconds`, drawn from weighted kinds, over `clients` keep-alive connections."""

    base_url: str
    tls: ssl.SSLContext
    kinds: dict[str, tuple[float, Request]]
    rate: float = 100.0
    clients: int = 20
    timeout_seconds: float = 30.0
    accepted: Mapping[str, frozenset[int]] = field(default_factory=dict)

    async def run(self, *, seconds: float, until: asyncio.Event | None = None, report: Report | None = None) -> Report:
        """Send for `seconds`, or until the event is set if that comes first; wait for the last answers.

        `report`: the one to fill, for those who look at it meanwhile.
        """
        report = Report(self.accepted) if report is None else report
        tasks = set[asyncio.Task[None]]()
        draw = random.Random(1)  # the same order of kinds in every run
        names, weights = list(self.kinds), [weight for weight, _ in self.kinds.values()]
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=1)
        clients = [
            httpx.AsyncClient(base_url=self.base_url, verify=self.tls, timeout=self.timeout_seconds, limits=limits)
            for _ in range(self.clients)
        ]
        started = time.monotonic()
        try:
            for number in range(int(seconds * self.rate)):
                await asyncio.sleep(max(0.0, started + number / self.rate - time.monotonic()))
                if until is not None and until.is_set():
                    break
                kind = draw.choices(names, weights)[0]
                task = asyncio.create_task(self._send(kind, clients[number % self.clients], report))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            await asyncio.gather(*tasks)
        finally:
            report.duration_seconds = time.monotonic() - started
            await asyncio.gather(*(client.aclose() for client in clients))
        return report

    async def _send(self, kind: str, client: httpx.AsyncClient, report: Report) -> None:
        started = time.monotonic()
        try:
            answer = await self.kinds[kind][1](client)
        except httpx.HTTPError as error:
            name = type(error).__name__
            report.failures.append(f"{kind}: {name} {error}")
            report.failed_by_time.append(Loss(started, time.monotonic(), kind, name))
            return
        report.seconds.append(time.monotonic() - started)
        report.by_time.append((started, kind, time.monotonic() - started, answer.status_code))
        report.answers[kind, answer.status_code] += 1
