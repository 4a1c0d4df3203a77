"""Replicas come, go and die under load, and nobody outside notices."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.journeys import JAR
from tests.e2e.stack import Stack, eventually
from tests.load.open_loop import Load, Report


@pytest.fixture
def load(stack: Stack, visitor: httpx.Client, mod: Path) -> Iterator[Load]:
    """GETs of every sort and now and then an upload of the small mod; what was uploaded is deleted afterwards."""
    content = mod.read_bytes()
    visitor.post("/api/v1/conversions", files={"file": ("sample.jar", content, JAR)}).raise_for_status()
    session = {"Cookie": f"modporter_session={visitor.cookies['modporter_session']}"}

    async def list_own(client: httpx.AsyncClient) -> httpx.Response:
        return await client.get("/api/v1/conversions", headers=session)

    async def home(client: httpx.AsyncClient) -> httpx.Response:
        return await client.get("/")

    async def send(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post("/api/v1/conversions", files={"file": ("sample.jar", content, JAR)}, headers=session)

    yield Load(
        stack.base_url, stack.tls(), {"GET list": (0.68, list_own), "GET page": (0.3, home), "POST": (0.02, send)}
    )
    while items := visitor.get("/api/v1/conversions", params={"limit": 100}).json()["items"]:
        for item in items:
            visitor.delete(f"/api/v1/conversions/{item['id']}")


def during(load: Load, action: Callable[[], None], *, seconds: float = 60) -> Report:
    """The load's report over the time that the action takes and five seconds more on each side."""

    async def together() -> Report:
        done = asyncio.Event()

        async def act() -> None:
            await asyncio.sleep(3)
            await asyncio.to_thread(action)
            await asyncio.sleep(5)
            done.set()

        report, _ = await asyncio.gather(load.run(seconds=seconds, until=done), act())
        return report

    return asyncio.run(together())


def test_scaling_from_three_to_five_and_back_loses_no_request(stack: Stack, load: Load) -> None:
    def five_then_three() -> None:
        stack.scale(backend=5)
        assert len(stack.containers("backend")) == 5
        stack.scale(backend=3)
        assert len(stack.containers("backend")) == 3

    report = during(load, five_then_three, seconds=150)
    assert report.lost() == []
    assert report.sent > 500
    assert any(status == 202 for _, status in report.answers)


@pytest.mark.parametrize("service", ["backend", "frontend"])
def test_nginx_follows_a_new_replica_within_seconds(stack: Stack, visitor: httpx.Client, service: str) -> None:
    path = "/api/v1/conversions" if service == "backend" else "/"

    def addresses() -> set[str]:
        for _ in range(30):
            visitor.get(path)
        lines = stack.compose("logs", "--no-log-prefix", "--tail", "30", "nginx").splitlines()
        return {line.split('"upstream":"')[1].split('"')[0].split(", ")[-1] for line in lines if '"upstream":"' in line}

    before = len(stack.containers(service))
    try:
        stack.scale(**{service: before + 1})
        eventually(lambda: len(addresses()) == before + 1, within_seconds=10)
    finally:
        stack.scale(**{service: before})
    eventually(lambda: len(addresses()) == before, within_seconds=10)


def test_killing_a_backend_loses_no_get_and_it_comes_back(stack: Stack, load: Load) -> None:
    victim = stack.containers("backend")[0]
    report = during(load, lambda: stack.kill_9(victim))
    assert report.lost("GET list", "GET page") == []
    eventually(lambda: stack.is_healthy("backend"), within_seconds=60)
    assert len(stack.containers("backend")) == 3
