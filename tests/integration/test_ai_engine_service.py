"""The AI engine's HTTP side as a process: health, and the encoder that its image carries."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.integration.ai_engine_process import AiEngineProcess, eventually, queue
from tests.integration.backend_process import Stores
from tests.integration.containers import ROOT

pytest_plugins = ["tests.integration.ai_engine_fixtures"]

REFERENCE = json.loads((ROOT / "services/ai-engine/tests/data/reference_embeddings.json").read_text())


@pytest.fixture(scope="module")
def client(ai_engine_stores: Stores, model_dir: Path) -> Iterator[httpx.Client]:
    with (
        AiEngineProcess(ai_engine_stores, model_dir) as process,
        httpx.Client(base_url=process.base_url, timeout=30) as client,
    ):
        yield client


def test_the_image_s_encoder_says_what_the_original_says(client: httpx.Client) -> None:
    cases = REFERENCE["cases"]
    answer = client.post("/embeddings", json={"texts": [case["text"] for case in cases]})
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert (body["model"], body["dimensions"]) == ("all-MiniLM-L6-v2", 384)
    for case, embedding in zip(cases, body["embeddings"], strict=True):
        vector, expected = np.array(embedding), np.array(case["embedding"])
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-4)
        assert vector @ expected / np.linalg.norm(expected) > 0.999, case["text"]


def test_the_four_health_routes(client: httpx.Client) -> None:
    assert client.get("/health").json()["service"] == "ai-engine"
    assert client.get("/health/live").status_code == 200
    assert client.get("/health/ready").json() == {"status": "ok"}
    checks = client.get("/health/detailed").json()["checks"]
    required = {name for name, check in checks.items() if check["required"]}
    assert required == {"database", "storage", "model", "worker"}
    assert set(checks) - required == {"redis", "neo4j", "outbox"}
    assert {check["status"] for check in checks.values()} == {"ok"}


def queue_told(client: httpx.Client) -> dict[str, float]:
    """The queue's metrics by their names as Prometheus reads them."""
    lines = [line for line in client.get("/metrics").text.splitlines() if line.startswith("modporter_queue")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_prometheus_is_told_how_much_waits(ai_engine_stores: Stores, client: httpx.Client) -> None:
    waiting, running = 'modporter_queue_depth{state="waiting"}', 'modporter_queue_depth{state="running"}'
    orders: tuple[dict[str, int], ...] = ({"seconds": 6}, {}, {})
    conversions = [
        queue(ai_engine_stores, each, seconds_ago=ago) for each, ago in zip(orders, (90, 60, 60), strict=True)
    ]
    later = queue(ai_engine_stores, {}, seconds_ago=500)
    ai_engine_stores.query(
        "UPDATE procrastinate_jobs SET scheduled_at = now() + interval '1 h' WHERE args->>'conversion_id' = %s",
        str(later.id),
    )
    eventually(lambda: queue_told(client).get(running) == 1, 20, lambda: queue_told(client))
    told = queue_told(client)
    assert told[waiting] == 2, "one that waits for its next try is nobody's work yet"
    assert 59 < told["modporter_queue_oldest_seconds"] < 110
    assert client.get("/health/load").json()["jobs"] == 1
    for conversion in conversions:
        conversion.wait_for("completed", seconds=40)
    eventually(lambda: queue_told(client)[waiting] == 0, 10, lambda: queue_told(client))
    ai_engine_stores.query("DELETE FROM procrastinate_jobs WHERE args->>'conversion_id' = %s", str(later.id))


def test_a_queue_that_nobody_can_see_is_not_an_empty_one(ai_engine_stores: Stores, model_dir: Path) -> None:
    with AiEngineProcess(ai_engine_stores, model_dir) as process, httpx.Client(base_url=process.base_url) as client:
        eventually(lambda: queue_told(client), 10)
        ai_engine_stores.pgbouncer.container.pause()
        try:
            eventually(lambda: not queue_told(client), 20)
        finally:
            ai_engine_stores.pgbouncer.container.unpause()
        eventually(lambda: queue_told(client), 20)


def test_without_redis_and_neo4j_it_is_degraded_but_ready(ai_engine_stores: Stores, model_dir: Path) -> None:
    away = {"REDIS_PORT": "9", "NEO4J_URI": "bolt://127.0.0.1:9"}
    with AiEngineProcess(ai_engine_stores, model_dir, **away) as process:
        answer = httpx.get(f"{process.base_url}/health/ready")
        assert (answer.status_code, answer.json()) == (200, {"status": "degraded"})


def test_the_worker_comes_back_after_postgres_did(ai_engine_stores: Stores, client: httpx.Client) -> None:
    with ai_engine_stores.connect("modporter_app") as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE usename = 'modporter_app' AND pid <> pg_backend_pid()"
        )
    conversion = queue(ai_engine_stores, {})
    assert conversion.wait_for("completed") == "completed"
    eventually(lambda: client.get("/health/ready").status_code == 200, 30)
    [(workers,)] = ai_engine_stores.query(
        "SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat > now() - interval '9 s'"
    )
    assert workers == 1
