"""What visitors do at once, and doing something to the stack meanwhile. Used by the scenarios and by `make bench`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.e2e.journeys import JAR
from tests.e2e.stack import Stack, eventually
from tests.load.open_loop import Load, Report

READS = ("GET list", "GET page")
LEAD_SECONDS, TAIL_SECONDS = 3, 5


@contextmanager
def mixed_traffic(stack: Stack, visitor: httpx.Client, mod: Path, *, rate: float = 100.0) -> Iterator[Load]:
    """Reads of the API and of the page, and now and then an upload of a small mod, which is deleted afterwards."""
    content = mod.read_bytes()
    visitor.post("/api/v1/conversions", files={"file": (mod.name, content, JAR)}).raise_for_status()
    session = {"Cookie": f"modporter_session={visitor.cookies['modporter_session']}"}

    async def list_own(client: httpx.AsyncClient) -> httpx.Response:
        return await client.get("/api/v1/conversions", headers=session)

    async def page(client: httpx.AsyncClient) -> httpx.Response:
        return await client.get("/")

    async def send(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post("/api/v1/conversions", files={"file": (mod.name, content, JAR)}, headers=session)

    kinds = {"GET list": (0.69, list_own), "GET page": (0.3, page), "POST": (0.01, send)}
    try:
        yield Load(stack.base_url, stack.tls(), kinds, rate=rate)
    finally:
        eventually(lambda: _delete_a_page(visitor), within_seconds=120)


def _delete_a_page(visitor: httpx.Client) -> bool:
    """Delete up to a hundred of the visitor's conversions; whether none is left. False while the stack is refusing."""
    answer = visitor.get("/api/v1/conversions", params={"limit": 100})
    if answer.status_code != 200:
        return False
    for item in answer.json()["items"]:
        visitor.delete(f"/api/v1/conversions/{item['id']}")
    return not answer.json()["items"]


def during(load: Load, action: Callable[[], None], *, at_most_seconds: float = 60) -> Report:
    """The load's report over an action, with a lead before it and a tail after it."""

    async def together() -> Report:
        done = asyncio.Event()

        async def act() -> None:
            try:
                await asyncio.sleep(LEAD_SECONDS)
                await asyncio.to_thread(action)
                await asyncio.sleep(TAIL_SECONDS)
            finally:
                done.set()

        report, _ = await asyncio.gather(load.run(seconds=at_most_seconds, until=done), act())
        return report

    return asyncio.run(together())


@contextmanager
def meanwhile(load: Load, *, at_most_seconds: float) -> Iterator[Report]:
    """The load runs while the block does. Its report grows: `losses` tells what was lost so far, and when."""
    report, loop, done = Report(load.accepted), asyncio.new_event_loop(), asyncio.Event()
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(loop.run_until_complete, load.run(seconds=at_most_seconds, until=done, report=report))
        try:
            yield report
        finally:
            loop.call_soon_threadsafe(done.set)
            sending.result()
            loop.close()
