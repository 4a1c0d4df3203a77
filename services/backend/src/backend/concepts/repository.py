"""All Cypher on the graph of concepts, which the AI engine projects from Postgres.

A concept, and each mapping of it, is told with all its evidence once three tenants have it. Before that, a tenant is
told of its own evidence only: what others upload stays theirs, even how much it is.
"""

from __future__ import annotations

import uuid

from neo4j import AsyncDriver, AsyncGraphDatabase, Query
from neo4j.exceptions import DriverError, Neo4jError

from backend import errors
from backend.concepts.schemas import ConceptView, MappingView
from backend.settings import BackendSettings

TENANTS_TO_BE_PUBLIC = 3
QUERY_SECONDS = 2.0

CONCEPT = """
MATCH (java:JavaConcept {id: $java_id})<-[:OF]-(:Mapping)<-[:EVIDENCES]-(conversion:Conversion)
WITH java.kind AS kind, count(DISTINCT conversion) AS everybodys, count(DISTINCT conversion.tenant_id) AS tenants,
     count(DISTINCT CASE WHEN conversion.tenant_id = $tenant_id THEN conversion END) AS own
WITH kind, CASE WHEN tenants >= $public THEN everybodys ELSE own END AS evidence
WHERE evidence > 0
RETURN kind, evidence
ORDER BY evidence DESC, kind
"""

MAPPINGS = """
MATCH (:JavaConcept {id: $java_id})<-[:OF]-(mapping:Mapping)<-[:EVIDENCES]-(conversion:Conversion)
WITH mapping, count(DISTINCT conversion) AS everybodys, count(DISTINCT conversion.tenant_id) AS tenants,
     count(DISTINCT CASE WHEN conversion.tenant_id = $tenant_id THEN conversion END) AS own
WITH mapping, CASE WHEN tenants >= $public THEN everybodys ELSE own END AS evidence
WHERE evidence > 0
OPTIONAL MATCH (mapping)-[:TO]->(bedrock:BedrockConcept)
RETURN bedrock.id AS bedrock_id, mapping.outcome AS outcome, mapping.reason AS reason, evidence
ORDER BY evidence DESC, outcome, bedrock_id
LIMIT 100
"""


class ConceptGraph:
    """A client of Neo4j."""

    def __init__(self, driver: AsyncDriver) -> None:
        self._driver = driver

    async def concept(self, java_id: str, tenant_id: uuid.UUID | None) -> ConceptView | None:
        """The concept as far as the tenant may see it, or None. Raises the 503 problem when Neo4j is away."""
        parameters = {"java_id": java_id, "tenant_id": str(tenant_id or ""), "public": TENANTS_TO_BE_PUBLIC}
        try:
            async with self._driver.session() as session:
                found = await (await session.run(_bounded(CONCEPT), parameters)).data()
                if not found:
                    return None
                mappings = await (await session.run(_bounded(MAPPINGS), parameters)).data()
        except (DriverError, Neo4jError, OSError) as error:
            raise errors.graph_unavailable() from error
        return ConceptView(
            java_id=java_id,
            kind=found[0]["kind"],
            evidence=sum(row["evidence"] for row in found),
            mappings=[MappingView(**{**row, "reason": row["reason"] or ""}) for row in mappings],
        )

    async def probe(self) -> None:
        """Raise when Neo4j does not answer."""
        await self._driver.verify_connectivity()

    async def close(self) -> None:
        await self._driver.close()


def _bounded(cypher: str) -> Query:
    return Query(cypher, timeout=QUERY_SECONDS)


def connect(settings: BackendSettings) -> ConceptGraph:
    """A client that gives up quickly. Connects at the first query."""
    return ConceptGraph(
        AsyncGraphDatabase.driver(
            settings.neo4j_uri,
            auth=(settings.neo4j_user, settings.neo4j_password.get_secret_value()),
            connection_timeout=1.0,
            connection_acquisition_timeout=2.0,
            max_transaction_retry_time=1.0,
            max_connection_pool_size=20,
            notifications_min_severity="OFF",
        )
    )
