"""The application with nothing behind it: what needs no store works, the rest says so in a problem document."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import httpx
import pytest

from backend.db.migrate import head_revision
from backend.main import create

LIST = "/api/v1/conversions"
MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}


async def test_prometheus_is_told_of_requests_by_route(client: httpx.AsyncClient) -> None:
    await client.get(LIST)
    told = (await client.get("/metrics")).text
    assert 'modporter_build_info{service="backend"' in told
    assert f'http_request_duration_seconds_count{{method="GET",route="{LIST}",status_class="2xx"}} 1.0' in told


async def test_it_lives_but_is_not_ready(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health/live")).status_code == 200
    ready = await client.get("/health/ready")
    assert (ready.status_code, ready.json()) == (503, {"status": "unhealthy"})
    checks = (await client.get("/health/detailed")).json()["checks"]
    assert checks["storage"]["status"] == "ok"
    assert {name: check["required"] for name, check in checks.items()} == {
        "postgres": True,
        "storage": True,
        "redis": False,
        "neo4j": False,
        "ai-engine": False,
    }


async def test_nobody_is_answered_without_a_database(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/v1/search", params={"q": "x"})).json() == {"mode": "text", "items": []}
    assert (await client.get(LIST)).json() == {"items": [], "next_cursor": None}
    client.cookies.clear()
    answer = await client.get("/api/v1/conversions/6f1e2f7e-0000-4000-8000-000000000000")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert answer.headers["cache-control"] == "no-store"


async def test_the_list_begins_a_session_and_nothing_else_does(client: httpx.AsyncClient) -> None:
    for method, path in (("GET", "/health"), ("GET", "/api/docs"), ("HEAD", LIST), ("GET", f"{LIST}?cursor=x")):
        assert "set-cookie" not in (await client.request(method, path)).headers, path
    client.cookies.set("modporter_session", "forged.value")
    begun = await client.get(LIST)
    assert begun.headers["set-cookie"].startswith("modporter_session=")
    assert begun.headers["cache-control"] == "no-store"
    client.cookies.clear()
    client.cookies.extract_cookies(begun)
    assert (await client.get(LIST)).status_code == 503, "somebody is looked up, and no database answers"


async def test_an_accepted_jar_that_cannot_be_recorded_is_a_503_and_not_kept(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    jar = io.BytesIO()
    with zipfile.ZipFile(jar, "w") as archive:
        archive.writestr("fabric.mod.json", '{"schemaVersion": 1, "id": "demo", "version": "1.0.0"}')
    answer = await client.post("/api/v1/conversions", files={"file": ("mod.jar", jar.getvalue())})
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert "set-cookie" not in answer.headers
    assert not [path for path in (tmp_path / "objects").rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"{}", {"Content-Type": "application/json"}, 415, "unsupported_media_type"),
        (b"garbage", MULTIPART, 400, "malformed_multipart"),
        (bytes(2_000_000), MULTIPART, 413, "too_large"),
        (b"", {**MULTIPART, "Idempotency-Key": "x" * 256}, 400, "bad_idempotency_key"),
    ],
)
async def test_a_bad_upload_is_refused_before_the_database_is_asked(
    client: httpx.AsyncClient, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    answer = await client.post("/api/v1/conversions", content=content, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_wrong_method_and_an_unknown_path_are_problems_too(client: httpx.AsyncClient) -> None:
    for answer, code in (
        (await client.put("/api/v1/conversions"), "method_not_allowed"),
        (await client.get("/api/v1/nothing"), "not_found"),
        (await client.get("/api/v1/conversions/not-an-id"), "not_found"),
    ):
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == code


async def test_the_documentation_is_whole_and_loads_nothing_from_elsewhere(client: httpx.AsyncClient) -> None:
    page = (await client.get("/api/docs")).text
    assets = re.findall(r'(?:src|href)="(/[^"]+)"', page)
    assert len(assets) >= 4
    for asset in assets:
        assert (await client.get(asset)).status_code == 200, asset
    assert "//" not in page.replace("<!doctype html>", "")
    assert not re.search(r"<script>|<style|style=|onload=", page)


def test_the_migrations_have_one_head() -> None:
    assert head_revision() == "0002"


def test_the_process_does_not_start_with_placeholder_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DATABASE_APP_PASSWORD", "REDIS_APP_PASSWORD", "NEO4J_PASSWORD", "SESSION_KEY"):
        monkeypatch.setenv(name, "changeme")
    monkeypatch.setenv("ENVIRONMENT", "production")
    with pytest.raises(ValueError, match="make init"):
        create()
