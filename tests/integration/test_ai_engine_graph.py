"""The outbox reaches Neo4j in order, once in effect, and the graph can be made anew from Postgres."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from neo4j import AsyncDriver
from neo4j.exceptions import TransientError
from psycopg import AsyncConnection
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from ai_engine.database import transaction_pool
from ai_engine.graph.events import ConversionCompleted
from ai_engine.graph.projector import GraphAwayError, Projector
from ai_engine.graph.rebuild import rebuild
from ai_engine.graph.repository import MAX_ATTEMPTS, OutboxRepository
from ai_engine.graph.store import GraphStore, open_driver
from ai_engine.settings import Settings
from tests.integration.backend_process import Stores

pytest_plugins = ["tests.integration.ai_engine_fixtures"]


class Graph:
    """The graph and the outbox before it."""

    def __init__(self, stores: Stores, driver: AsyncDriver, outbox: OutboxRepository) -> None:
        self.stores, self.driver, self.outbox = stores, driver, outbox
        self.store = GraphStore(driver)
        self.projector = Projector(outbox, self.store)

    def completed(self, *concepts: tuple[str, str | None, str], exists: bool = True) -> uuid.UUID:
        """A conversion that ended well, and its event; concepts are (java id, bedrock id, outcome)."""
        tenant_id, conversion_id = uuid.uuid4(), uuid.uuid4()
        if exists:
            self.stores.query("INSERT INTO tenants (id) VALUES (%s)", tenant_id)
            self.stores.query(
                "INSERT INTO conversions (id, tenant_id, status, file_name, file_size_bytes, file_sha256)"
                " VALUES (%s, %s, 'completed', 'mod.jar', 1, %s)",
                *(conversion_id, tenant_id, "0" * 64),
            )
        rows = [
            {"java_id": java, "kind": "block", "bedrock_id": bedrock, "outcome": outcome, "reason": ""}
            for java, bedrock, outcome in concepts
        ]
        payload = {"conversion_id": str(conversion_id), "tenant_id": str(tenant_id), "mod_id": "m", "concepts": rows}
        self.emit("conversion.completed", payload, tenant_id)
        return conversion_id

    def deleted(self, conversion_id: uuid.UUID) -> None:
        [(tenant_id,)] = self.stores.query(
            "WITH gone AS (DELETE FROM conversions WHERE id = %s RETURNING tenant_id) SELECT tenant_id FROM gone",
            conversion_id,
        )
        self.emit("conversion.deleted", {"conversion_id": str(conversion_id)}, tenant_id)

    def emit(self, topic: str, payload: dict[str, Any], tenant_id: uuid.UUID) -> None:
        self.stores.query(
            "INSERT INTO outbox (tenant_id, topic, payload) VALUES (%s, %s, %s)", tenant_id, topic, Jsonb(payload)
        )

    async def evidence(self) -> dict[tuple[str, str | None], int]:
        """(java id, bedrock id) -> number of conversions that say so."""
        result = await self.driver.execute_query(
            "MATCH (java:JavaConcept)<-[:OF]-(mapping:Mapping)<-[:EVIDENCES]-(conversion:Conversion)"
            " OPTIONAL MATCH (mapping)-[:TO]->(bedrock:BedrockConcept)"
            " RETURN java.id AS java, bedrock.id AS bedrock, count(DISTINCT conversion) AS evidence"
        )
        return {(row["java"], row["bedrock"]): row["evidence"] for row in result.records}

    async def nodes(self) -> int:
        result = await self.driver.execute_query("MATCH (node) RETURN count(node) AS nodes")
        return int(result.records[0]["nodes"])

    def waiting(self) -> int:
        return int(self.stores.query("SELECT count(*) FROM outbox WHERE processed_at IS NULL")[0][0])


def settings_for(stores: Stores, **changes: Any) -> Settings:
    values = {
        "database_host": "127.0.0.1",
        "database_port": stores.pgbouncer.port,
        "neo4j_uri": f"bolt://127.0.0.1:{stores.neo4j.port}",
        **{name: stores.secrets[name] for name in ("database_app_password", "redis_app_password", "neo4j_password")},
        **changes,
    }
    return Settings(**values)


@pytest.fixture
async def graph(ai_engine_stores: Stores) -> AsyncIterator[Graph]:
    ai_engine_stores.query("TRUNCATE tenants, conversions, outbox CASCADE")
    settings = settings_for(ai_engine_stores)
    async with transaction_pool(settings) as pool, open_driver(settings) as driver:
        await driver.execute_query("MATCH (node) DETACH DELETE node")
        yield Graph(ai_engine_stores, driver, OutboxRepository(pool))


async def test_equal_facts_gather_evidence(graph: Graph) -> None:
    graph.completed(("a:ore", "a:ore", "converted"), ("a:pipe", None, "unsupported"))
    graph.completed(("a:ore", "a:ore", "converted"))
    assert await graph.projector.project_batch() == 2
    assert await graph.evidence() == {("a:ore", "a:ore"): 2, ("a:pipe", None): 1}
    assert graph.waiting() == 0
    assert await graph.projector.project_batch() == 0


async def test_projecting_again_changes_nothing(graph: Graph) -> None:
    graph.completed(("a:ore", "a:ore", "converted"))
    await graph.projector.project_batch()
    before = await graph.nodes()
    graph.stores.query("UPDATE outbox SET processed_at = NULL")
    assert await graph.projector.project_batch() == 1
    assert (await graph.nodes(), await graph.evidence()) == (before, {("a:ore", "a:ore"): 1})


async def test_a_deleted_conversion_takes_its_evidence_and_what_only_it_spoke_for(graph: Graph) -> None:
    graph.completed(("a:ore", "a:ore", "converted"))
    gone = graph.completed(("a:ore", "a:ore", "converted"), ("a:pipe", "minecraft:stone", "approximated"))
    assert await graph.projector.project_batch() == 2
    assert await graph.evidence() == {("a:ore", "a:ore"): 2, ("a:pipe", "minecraft:stone"): 1}
    graph.deleted(gone)
    assert await graph.projector.project_batch() == 1
    assert await graph.evidence() == {("a:ore", "a:ore"): 1}
    assert graph.stores.query("SELECT count(*) FROM outbox WHERE payload->>'conversion_id' = %s", str(gone)) == [(0,)]
    assert await graph.nodes() == 4  # conversion, mapping, two concepts


async def test_a_conversion_that_is_gone_leaves_nothing_whatever_comes_when(graph: Graph) -> None:
    """Its events out of order, as after failures; half of its evidence is in the graph already."""
    gone = graph.completed(("a:ore", "a:ore", "converted"), ("a:pipe", None, "unsupported"))
    await graph.projector.project_batch()
    await graph.driver.execute_query(
        "MATCH ()-[evidence:EVIDENCES]->(:Mapping {outcome: 'unsupported'}) DELETE evidence"
    )
    graph.stores.query("UPDATE outbox SET processed_at = NULL, attempts = 1")
    graph.deleted(gone)
    graph.completed(("a:ghost", None, "unsupported"), exists=False)
    assert await graph.projector.project_batch() == 2
    assert await graph.evidence() == {}
    assert graph.stores.query("SELECT count(*) FROM outbox") == [(0,)]


class SlowStore(GraphStore):
    async def add(self, event: ConversionCompleted) -> None:
        await asyncio.sleep(2.5)
        await super().add(event)


async def test_neo4j_may_take_longer_than_postgres_waits(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ai_engine.graph.repository.KEEP_ALIVE_SECONDS", 0.3)
    graph.completed(("a:ore", "a:ore", "converted"))
    conninfo = settings_for(graph.stores, database_port=graph.stores.postgres.port).pooled_conninfo
    async with AsyncConnectionPool(conninfo, min_size=1, max_size=1, configure=impatience, open=False) as pool:
        assert await Projector(OutboxRepository(pool), SlowStore(graph.driver)).project_batch() == 1
    assert graph.waiting() == 0


async def impatience(connection: AsyncConnection) -> None:
    await connection.set_autocommit(True)
    await connection.execute("SET idle_in_transaction_session_timeout = '1s'")
    await connection.set_autocommit(False)


class BrokenStore(GraphStore):
    """Neo4j answers, but not to this."""

    async def add(self, event: ConversionCompleted) -> None:
        raise TransientError("out of memory")


async def test_an_event_that_only_seems_to_need_time_does_not_hold_up_the_others_for_ever(graph: Graph) -> None:
    poison = graph.completed(("a:ore", "a:ore", "converted"))
    for _ in range(MAX_ATTEMPTS):
        with pytest.raises(GraphAwayError):
            await Projector(graph.outbox, BrokenStore(graph.driver)).project_batch()
    graph.completed(("b:ore", "b:ore", "converted"))
    assert await graph.projector.project_batch() == 1
    assert await graph.evidence() == {("b:ore", "b:ore"): 1}
    assert graph.stores.query("SELECT attempts FROM outbox WHERE payload->>'conversion_id' = %s", str(poison)) == [
        (MAX_ATTEMPTS,)
    ]


async def test_many_concepts(graph: Graph) -> None:
    conversion = graph.completed(*((f"a:item{number}", f"a:item{number}", "converted") for number in range(2500)))
    await graph.projector.project_batch()
    assert len(await graph.evidence()) == 2500
    graph.deleted(conversion)
    await graph.projector.project_batch()
    assert await graph.nodes() == 0


async def test_rows_stay_while_neo4j_is_away(graph: Graph) -> None:
    graph.completed(("a:ore", "a:ore", "converted"))
    async with open_driver(settings_for(graph.stores, neo4j_uri="bolt://127.0.0.1:9")) as nowhere:
        with pytest.raises(GraphAwayError):
            await Projector(graph.outbox, GraphStore(nowhere)).project_batch()
    assert graph.waiting() == 1
    assert graph.stores.query("SELECT attempts FROM outbox") == [(0,)]
    assert await graph.outbox.lag_seconds() > 0
    assert await graph.projector.project_batch() == 1
    assert await graph.outbox.lag_seconds() == 0


async def test_an_event_that_nobody_understands_does_not_hold_up_the_others(graph: Graph) -> None:
    graph.emit("conversion.completed", {"conversion_id": "no uuid"}, uuid.uuid4())
    graph.completed(("a:ore", "a:ore", "converted"))
    for _ in range(MAX_ATTEMPTS + 2):
        await graph.projector.project_batch()
    [(attempts, reason)] = graph.stores.query("SELECT attempts, last_error FROM outbox WHERE processed_at IS NULL")
    assert attempts == MAX_ATTEMPTS
    assert "conversion_id" in reason
    assert await graph.evidence() == {("a:ore", "a:ore"): 1}


async def test_one_projector_at_a_time(graph: Graph) -> None:
    graph.completed(("a:ore", "a:ore", "converted"))
    async with graph.outbox.graph_lock():
        assert await graph.projector.project_batch() == 0
    assert await graph.projector.project_batch() == 1


async def test_the_graph_is_made_anew_from_postgres(graph: Graph) -> None:
    graph.completed(("a:ore", "a:ore", "converted"), ("a:pipe", None, "unsupported"))
    graph.completed(("a:ore", "a:ore", "converted"))
    graph.completed(("gone:ore", "gone:ore", "converted"), exists=False)
    await graph.driver.execute_query("CREATE (:Conversion {id: 'stale'})-[:EVIDENCES]->(:Mapping {key: 'stale'})")
    told: list[str] = []
    assert await rebuild(graph.outbox, graph.store, told.append) == 2
    assert await graph.evidence() == {("a:ore", "a:ore"): 2, ("a:pipe", None): 1}
    assert told == ["emptied the graph: 2 nodes", "2 of 2 conversions"]
    assert await rebuild(graph.outbox, graph.store, told.append) == 2
    assert await graph.evidence() == {("a:ore", "a:ore"): 2, ("a:pipe", None): 1}
