"""A part that is away takes only its own feature with it; only the database and storage are needed for everything."""

from __future__ import annotations

import time
from pathlib import Path

import httpx

from tests.integration.backend_process import BackendProcess, Stores
from tests.integration.backend_worker import complete, sample_jar, upload, uploaded


def test_without_everything_optional_uploads_and_results_work(stores: Stores, tmp_path: Path) -> None:
    away = {"REDIS_PORT": "9", "NEO4J_URI": "bolt://127.0.0.1:9", "AI_ENGINE_URL": "http://127.0.0.1:9"}
    with BackendProcess(stores, **away) as backend, backend.visitor() as visitor:
        conversion = uploaded(visitor, sample_jar(tmp_path))
        complete(stores, conversion)
        for path in ("", "/addon", "/ledger", "/previews", "/similar"):
            assert visitor.get(f"/api/v1/conversions/{conversion}{path}").status_code == 200
        assert visitor.get("/api/v1/search", params={"q": "gem"}).json()["mode"] == "text"
        concept = visitor.get("/api/v1/concepts/minecraft:stone")
        assert (concept.status_code, concept.json()["code"]) == (503, "graph_unavailable")
        ready = visitor.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        checks = visitor.get("/health/detailed").json()["checks"]
        assert {name for name, check in checks.items() if check["status"] == "failed"} == {
            "redis",
            "neo4j",
            "ai-engine",
        }
        assert checks["redis"]["reason"]
        assert visitor.delete(f"/api/v1/conversions/{conversion}").status_code == 204


def test_a_hanging_redis_costs_one_request_a_moment_and_the_others_nothing(stores: Stores, tmp_path: Path) -> None:
    with BackendProcess(stores) as backend, backend.visitor() as visitor:
        conversion = uploaded(visitor, sample_jar(tmp_path))
        path = f"/api/v1/conversions/{conversion}"
        stores.redis.container.pause()
        try:
            took = []
            for _ in range(30):
                began = time.monotonic()
                assert visitor.get(path).status_code == 200
                took.append(time.monotonic() - began)
        finally:
            stores.redis.container.unpause()
        assert max(took) < 2
        assert sorted(took)[15] < 0.1, "most requests do not wait for Redis at all"
        deadline = time.monotonic() + 30
        while '"redis is back"' not in backend.log():
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_a_database_that_is_away_is_a_503_and_heals(stores: Stores, tmp_path: Path) -> None:
    with BackendProcess(stores) as backend, backend.visitor() as visitor:
        conversion = uploaded(visitor, sample_jar(tmp_path))
        files = stores.files()
        stores.pgbouncer.container.stop(timeout=3)
        try:
            ready = visitor.get("/health/ready")
            assert (ready.status_code, ready.json()["status"]) == (503, "unhealthy")
            assert visitor.get("/health/live").status_code == 200
            answer = visitor.get(f"/api/v1/conversions/{conversion}")
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
            assert upload(visitor, sample_jar(tmp_path)).status_code == 503
            assert stores.files() == files, "an upload that cannot be recorded is not kept"
        finally:
            stores.pgbouncer.container.start()
        deadline = time.monotonic() + 30
        while visitor.get("/health/ready").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert visitor.get(f"/api/v1/conversions/{conversion}").status_code == 200


def test_when_all_is_well_only_what_is_missing_is_named(backend: BackendProcess) -> None:
    answer = httpx.get(f"{backend.base_url}/health/detailed").json()
    assert {name: check["status"] for name, check in answer["checks"].items()} == {
        "postgres": "ok",
        "storage": "ok",
        "redis": "ok",
        "neo4j": "ok",
        "ai-engine": "failed",
    }
