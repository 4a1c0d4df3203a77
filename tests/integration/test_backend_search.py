"""Search and similarity over real vectors, within one tenant; by text while no embedding is to be had."""

from __future__ import annotations

import asyncio
import http.server
import json
import math
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from backend.search import repository
from tests.integration.backend_process import BackendProcess, Stores
from tests.integration.backend_worker import complete, sample_jar, tenant_of, uploaded

DIMENSIONS = 384


def at_angle(degrees: float) -> list[float]:
    """A unit vector; the cosine of two is that of the angle between them."""
    radians = math.radians(degrees)
    return [math.cos(radians), math.sin(radians), *[0.0] * (DIMENSIONS - 2)]


class Embeddings(http.server.BaseHTTPRequestHandler):
    """Speaks the AI engine's interface: the embedding of `angle 30` is the unit vector at 30 degrees."""

    def do_POST(self) -> None:
        [text] = json.loads(self.rfile.read(int(self.headers["content-length"])))["texts"]
        if text == "broken":
            self._answer({"model": "test-model", "dimensions": 2, "embeddings": [[1.0, 0.0]]})
        elif text == "failing":
            self.send_error(503)
        else:
            vector = at_angle(float(text.split()[1]))
            self._answer({"model": "test-model", "dimensions": DIMENSIONS, "embeddings": [vector]})

    def do_GET(self) -> None:
        self._answer({"status": "alive"})

    def _answer(self, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def searching_backend(stores: Stores) -> Iterator[BackendProcess]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Embeddings) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with BackendProcess(stores, AI_ENGINE_URL=f"http://127.0.0.1:{server.server_port}") as backend:
            yield backend
        server.shutdown()


@pytest.fixture
def visitor(searching_backend: BackendProcess) -> Iterator[httpx.Client]:
    with searching_backend.visitor() as client:
        yield client


@pytest.fixture
def by_angle(visitor: httpx.Client, stores: Stores, tmp_path: Path) -> dict[int, str]:
    """Five completed conversions whose embeddings lie 20 degrees apart."""
    jar = sample_jar(tmp_path)
    made = {angle: uploaded(visitor, jar) for angle in (0, 20, 40, 60, 80)}
    for angle, conversion in made.items():
        complete(stores, conversion, embedding=at_angle(angle))
    return made


def test_search_finds_what_is_closest(visitor: httpx.Client, by_angle: dict[int, str]) -> None:
    found = visitor.get("/api/v1/search", params={"q": "angle 35", "limit": 3}).raise_for_status().json()
    assert found["mode"] == "semantic"
    assert [item["id"] for item in found["items"]] == [by_angle[40], by_angle[20], by_angle[60]]
    expected = [math.cos(math.radians(angle)) for angle in (5, 15, 25)]
    assert [item["similarity"] for item in found["items"]] == pytest.approx(expected, abs=1e-4)
    assert found["items"][0]["mod"]["id"] == "gemcraft"


def test_similar_leaves_out_the_conversion_itself(visitor: httpx.Client, by_angle: dict[int, str]) -> None:
    found = visitor.get(f"/api/v1/conversions/{by_angle[0]}/similar", params={"limit": 2}).raise_for_status().json()
    assert [item["id"] for item in found["items"]] == [by_angle[20], by_angle[40]]


def test_a_conversion_without_an_embedding_has_none_similar(
    visitor: httpx.Client, by_angle: dict[int, str], tmp_path: Path
) -> None:
    queued = uploaded(visitor, sample_jar(tmp_path))
    assert visitor.get(f"/api/v1/conversions/{queued}/similar").json() == {"items": []}


def test_embeddings_of_another_model_are_not_compared(
    visitor: httpx.Client, stores: Stores, by_angle: dict[int, str]
) -> None:
    stores.query("UPDATE conversion_embeddings SET model = 'older' WHERE conversion_id = %s", by_angle[20])
    found = visitor.get(f"/api/v1/conversions/{by_angle[0]}/similar").json()["items"]
    assert [item["id"] for item in found] == [by_angle[40], by_angle[60], by_angle[80]]


def test_a_small_tenant_is_found_among_many_closer_strangers(
    searching_backend: BackendProcess, visitor: httpx.Client, stores: Stores, tmp_path: Path
) -> None:
    """The index gives the closest of all tenants first; it must go on until enough are the tenant's own."""
    with searching_backend.visitor() as stranger:
        crowd = tenant_of(stores, uploaded(stranger, sample_jar(tmp_path)))
    with stores.connect() as connection, connection.transaction():
        connection.execute(
            "INSERT INTO conversions (id, tenant_id, status, file_name, file_size_bytes, file_sha256)"
            " SELECT gen_random_uuid(), %s, 'completed', 'crowd.jar', 1, repeat('a', 64) FROM generate_series(1, 1500)",
            [crowd],
        )
        connection.execute(
            "INSERT INTO conversion_embeddings (conversion_id, tenant_id, model, embedding)"
            " SELECT id, tenant_id, 'test-model', ('[1,' || random() / 1000 || repeat(',0', 382) || ']')::vector"
            " FROM conversions WHERE tenant_id = %s AND file_name = 'crowd.jar'",
            [crowd],
        )
    mine = [uploaded(visitor, sample_jar(tmp_path)) for _ in range(2)]
    for conversion in mine:
        complete(stores, conversion, embedding=at_angle(85))
    try:
        found = asyncio.run(nearest_by_index(stores, tenant_of(stores, mine[0])))
    finally:
        stores.query("DELETE FROM conversions WHERE tenant_id = %s", crowd)
    assert {str(conversion) for conversion in found} == set(mine)


async def nearest_by_index(stores: Stores, tenant: uuid.UUID) -> list[uuid.UUID]:
    """The repository's search with a planner that takes the vector index, as it does where tables are large."""
    url = URL.create(
        "postgresql+psycopg",
        username="modporter_app",
        password=stores.secrets["database_app_password"],
        host="127.0.0.1",
        port=stores.postgres.port,
        database="modporter",
    )
    engine = create_async_engine(url, connect_args={"options": "-c enable_seqscan=off -c enable_sort=off"})
    try:
        async with AsyncSession(engine) as session:
            found = await repository.nearest(session, tenant, "test-model", at_angle(0), limit=10)
            return [conversion.id for conversion, _ in found]
    finally:
        await engine.dispose()


@pytest.mark.parametrize("words", ["failing", "broken"])
def test_search_goes_by_text_while_the_model_is_away(
    visitor: httpx.Client, stores: Stores, by_angle: dict[int, str], words: str
) -> None:
    stores.query("UPDATE conversions SET mod_name = %s WHERE id = %s", f"100% {words.title()} Mod", by_angle[40])
    found = visitor.get("/api/v1/search", params={"q": words}).raise_for_status().json()
    assert found["mode"] == "text"
    assert [(item["id"], item["similarity"]) for item in found["items"]] == [(by_angle[40], None)]


def test_strangers_find_nothing(searching_backend: BackendProcess, by_angle: dict[int, str], tmp_path: Path) -> None:
    with searching_backend.visitor() as stranger:
        assert stranger.get("/api/v1/search", params={"q": "angle 0"}).json()["items"] == []
        uploaded(stranger, sample_jar(tmp_path, "theirs.jar"))
        assert stranger.get("/api/v1/search", params={"q": "angle 0"}).json()["items"] == []


@pytest.mark.parametrize("parameters", [{}, {"q": ""}, {"q": "x" * 301}, {"q": "x", "limit": 51}])
def test_an_odd_search_is_refused(visitor: httpx.Client, parameters: dict[str, Any]) -> None:
    answer = visitor.get("/api/v1/search", params=parameters)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_error")
