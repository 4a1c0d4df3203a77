"""The traffic that the supervisor is measured by: reads, small uploads, slow uploads and open streams, at a fixed rate.

Most uploads are text files, which the backend reads to the end and refuses with 422: they cost what an upload costs,
and no conversion waits for them afterwards.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.e2e.journeys import convert
from tests.e2e.stack import Stack
from tests.load.open_loop import Load, Request

READS = ("GET list", "GET page")
KINDS = {"GET list": 0.45, "GET page": 0.25, "POST": 0.2, "slow POST": 0.1}
NO_MOD = b"this is no jar, and says so in a few words\n" * 100
REFUSED = frozenset({422, 429})
SLOW_SECONDS = (2.0, 5.0)
BOUNDARY = "a-boundary-that-no-file-holds"
MULTIPART = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def _form() -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="notes.jar"\r\n\r\n'
    return head.encode() + NO_MOD + f"\r\n--{BOUNDARY}--\r\n".encode()


async def _trickle(seconds: float) -> AsyncIterator[bytes]:
    """The form in ten pieces, over so many seconds."""
    form = _form()
    size = -(-len(form) // 10)
    for start in range(0, len(form), size):
        yield form[start : start + size]
        await asyncio.sleep(seconds / 10)


@contextmanager
def supervised_traffic(stack: Stack, mod: Path, *, rate: float = 100.0) -> Iterator[Load]:
    """70 % reads, 20 % small uploads, 10 % uploads that take 2 to 5 s, over 40 keep-alive connections."""
    with stack.visitor() as visitor:
        conversion = convert(visitor, mod)
        session = {"Cookie": f"modporter_session={visitor.cookies['modporter_session']}"}
        pace = random.Random(3)

        async def list_own(client: httpx.AsyncClient) -> httpx.Response:
            return await client.get("/api/v1/conversions", headers=session)

        async def page(client: httpx.AsyncClient) -> httpx.Response:
            return await client.get("/")

        async def small(client: httpx.AsyncClient) -> httpx.Response:
            return await client.post("/api/v1/conversions", content=_form(), headers=session | MULTIPART)

        async def slow(client: httpx.AsyncClient) -> httpx.Response:
            content = _trickle(pace.uniform(*SLOW_SECONDS))
            return await client.post("/api/v1/conversions", content=content, headers=session | MULTIPART)

        requests: dict[str, Request] = {"GET list": list_own, "GET page": page, "POST": small, "slow POST": slow}
        kinds = {name: (share, requests[name]) for name, share in KINDS.items()}
        accepted = {"POST": REFUSED, "slow POST": REFUSED}
        try:
            yield Load(stack.base_url, stack.tls(), kinds, rate=rate, clients=40, accepted=accepted)
        finally:
            visitor.delete(f"/api/v1/conversions/{conversion['id']}")


@dataclass
class Streams:
    """Event streams of a conversion that never ends, each reconnecting as a browser does."""

    stack: Stack
    count: int = 50
    reconnects: int = 0
    refusals: int = 0
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def open(self, conversion_id: str, session: dict[str, str]) -> None:
        self._tasks = [asyncio.create_task(self._follow(conversion_id, session)) for _ in range(self.count)]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _follow(self, conversion_id: str, session: dict[str, str]) -> None:
        timeout = httpx.Timeout(30, read=None)
        async with httpx.AsyncClient(base_url=self.stack.base_url, verify=self.stack.tls(), timeout=timeout) as client:
            while True:
                with suppress(httpx.HTTPError):
                    path = f"/api/v1/conversions/{conversion_id}/events"
                    async with client.stream("GET", path, headers=session) as answer:
                        if answer.status_code != 200:
                            self.refusals += 1
                        async for _ in answer.aiter_bytes():
                            pass
                self.reconnects += 1
                await asyncio.sleep(0.5)
