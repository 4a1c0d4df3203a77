"""All Cypher that writes; used by projector.py and rebuild.py.

    (:Conversion {id, tenant_id}) -[:EVIDENCES]-> (:Mapping {key, outcome, reason}) -[:OF]-> (:JavaConcept {id, kind})
                                                             └──[:TO]──> (:BedrockConcept {id}), where there is one

Evidence of a mapping = the conversions that point at it. Every write may be repeated.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from uuid import UUID

import neo4j
from neo4j import AsyncDriver, AsyncGraphDatabase

from ai_engine.graph.events import Concept, ConversionCompleted
from ai_engine.settings import Settings

CONCEPTS_PER_TRANSACTION = 1000
NODES_PER_TRANSACTION = 5000
TRANSACTION_SECONDS = 120.0
"""After that Neo4j gives a transaction up, which counts against the event."""

CONSTRAINTS = (
    "CREATE CONSTRAINT conversion_id IF NOT EXISTS FOR (n:Conversion) REQUIRE n.id IS UNIQUE",
    "CREATE CONSTRAINT mapping_key IF NOT EXISTS FOR (n:Mapping) REQUIRE n.key IS UNIQUE",
    "CREATE CONSTRAINT java_concept_id IF NOT EXISTS FOR (n:JavaConcept) REQUIRE n.id IS UNIQUE",
    "CREATE CONSTRAINT bedrock_concept_id IF NOT EXISTS FOR (n:BedrockConcept) REQUIRE n.id IS UNIQUE",
)
ADD_CONVERSION = """
MERGE (conversion:Conversion {id: $conversion_id})
SET conversion.tenant_id = $tenant_id, conversion.mod_id = $mod_id
"""
ADD_CONCEPTS = """
MATCH (conversion:Conversion {id: $conversion_id})
UNWIND $concepts AS concept
MERGE (java:JavaConcept {id: concept.java_id}) SET java.kind = concept.kind
MERGE (mapping:Mapping {key: concept.key}) SET mapping.outcome = concept.outcome, mapping.reason = concept.reason
MERGE (mapping)-[:OF]->(java)
MERGE (conversion)-[:EVIDENCES]->(mapping)
WITH mapping, concept WHERE concept.bedrock_id IS NOT NULL
MERGE (bedrock:BedrockConcept {id: concept.bedrock_id})
MERGE (mapping)-[:TO]->(bedrock)
"""
DROP_EVIDENCE = """
MATCH (:Conversion {id: $conversion_id})-[evidence:EVIDENCES]->(mapping:Mapping)
WITH evidence, mapping LIMIT $limit
DELETE evidence
WITH DISTINCT mapping WHERE NOT EXISTS { (:Conversion)-[:EVIDENCES]->(mapping) }
OPTIONAL MATCH (mapping)-[:OF]->(java:JavaConcept)
OPTIONAL MATCH (mapping)-[:TO]->(bedrock:BedrockConcept)
DETACH DELETE mapping
WITH collect(DISTINCT java) AS javas, collect(DISTINCT bedrock) AS bedrocks
FOREACH (java IN [node IN javas WHERE NOT EXISTS { (:Mapping)-[:OF]->(node) }] | DELETE java)
FOREACH (bedrock IN [node IN bedrocks WHERE NOT EXISTS { (:Mapping)-[:TO]->(node) }] | DELETE bedrock)
"""
DROP_CONVERSION = "MATCH (conversion:Conversion {id: $conversion_id}) DETACH DELETE conversion"
DROP_NODES = "MATCH (node) WITH node LIMIT $limit DETACH DELETE node"


def open_driver(settings: Settings) -> AsyncDriver:
    """A driver that connects on first use and gives up within seconds."""
    return AsyncGraphDatabase.driver(
        settings.neo4j_uri,
        auth=(settings.neo4j_user, settings.neo4j_password.get_secret_value()),
        connection_timeout=3.0,
        connection_acquisition_timeout=5.0,
        max_transaction_retry_time=5.0,
        max_connection_pool_size=8,
        notifications_min_severity="OFF",
    )


class GraphStore:
    """Raises neo4j.exceptions."""

    def __init__(self, driver: AsyncDriver) -> None:
        self._driver = driver

    async def prepare(self) -> None:
        """Create the constraints, and with them the indexes, where they are absent."""
        for statement in CONSTRAINTS:
            await self._run(statement)

    async def add(self, event: ConversionCompleted) -> None:
        conversion_id = str(event.conversion_id)
        await self._run(
            ADD_CONVERSION, conversion_id=conversion_id, tenant_id=str(event.tenant_id), mod_id=event.mod_id
        )
        for concepts in _chunks(event.concepts, CONCEPTS_PER_TRANSACTION):
            rows = [{**concept.model_dump(), "key": concept.mapping_key} for concept in concepts]
            await self._run(ADD_CONCEPTS, conversion_id=conversion_id, concepts=rows)

    async def remove(self, conversion_id: UUID) -> None:
        """Take its evidence back, with the mappings and concepts that nothing else speaks for."""
        while await self._run(DROP_EVIDENCE, conversion_id=str(conversion_id), limit=CONCEPTS_PER_TRANSACTION):
            pass
        await self._run(DROP_CONVERSION, conversion_id=str(conversion_id))

    async def clear(self) -> int:
        """Delete every node; how many there were."""
        total = 0
        while deleted := (await self._counters(DROP_NODES, limit=NODES_PER_TRANSACTION)).nodes_deleted:
            total += deleted
        return total

    async def probe(self) -> None:
        """Raise when Neo4j does not answer."""
        await self._driver.execute_query("RETURN 1")

    async def _run(self, query: str, **parameters: object) -> bool:
        """Whether it changed anything."""
        return (await self._counters(query, **parameters)).contains_updates

    async def _counters(self, query: str, **parameters: object) -> neo4j.SummaryCounters:
        result = await self._driver.execute_query(neo4j.Query(query, timeout=TRANSACTION_SECONDS), parameters)
        return result.summary.counters


def _chunks(concepts: Sequence[Concept], size: int) -> Iterator[list[Concept]]:
    iterator = iter(concepts)
    while chunk := list(islice(iterator, size)):
        yield chunk
