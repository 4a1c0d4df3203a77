"""A part that is away takes only its own feature with it, and health says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from tests.e2e.journeys import convert
from tests.e2e.stack import Stack, eventually


def test_without_redis_everything_works_and_health_says_degraded(
    stack: Stack, visitor: httpx.Client, mod: Path
) -> None:
    with stack.stopped("redis"):
        eventually(lambda: visitor.get("/health").json()["status"] == "degraded", within_seconds=15)
        conversion = convert(visitor, mod)
        assert visitor.get(f"/api/v1/conversions/{conversion['id']}/addon").status_code == 200
        with visitor.stream("GET", f"/api/v1/conversions/{conversion['id']}/events") as events:
            assert any("completed" in line for line in events.iter_lines())
        visitor.delete(f"/api/v1/conversions/{conversion['id']}")
    eventually(lambda: visitor.get("/health").json()["status"] == "ok", within_seconds=30)


def test_without_neo4j_conversions_work_and_the_graph_catches_up(
    stack: Stack, visitor: httpx.Client, mod: Path
) -> None:
    with stack.stopped("neo4j"):
        conversion = convert(visitor, mod)
        assert visitor.get("/api/v1/concepts/minecraft:stone").status_code == 503
    rows = visitor.get(f"/api/v1/conversions/{conversion['id']}/ledger", params={"q": ":"}).json()["items"]
    block = next(row["source"] for row in rows if row["kind"] == "block")
    eventually(lambda: visitor.get(f"/api/v1/concepts/{block}").status_code == 200, within_seconds=60)
    visitor.delete(f"/api/v1/conversions/{conversion['id']}")


def test_without_the_ai_engine_uploads_wait_and_search_goes_by_words(
    stack: Stack, visitor: httpx.Client, owner: httpx.Client, finished: dict[str, Any], mod: Path
) -> None:
    with stack.stopped("ai-engine"):
        found = owner.get("/api/v1/search", params={"q": finished["mod"]["name"]}).raise_for_status().json()
        assert found["mode"] == "text"
        assert [item["id"] for item in found["items"]] == [finished["id"]]
        answer = visitor.post("/api/v1/conversions", files={"file": (mod.name, mod.read_bytes())})
        assert answer.status_code == 202
    identifier = answer.json()["id"]
    eventually(
        lambda: visitor.get(f"/api/v1/conversions/{identifier}").json()["status"] == "completed", within_seconds=90
    )
    visitor.delete(f"/api/v1/conversions/{identifier}")
