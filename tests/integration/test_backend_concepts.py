"""What the graph tells of a Java id: the tenant's own, and what three tenants have in common."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from neo4j import Driver, GraphDatabase

from tests.integration.backend_process import BackendProcess, Stores
from tests.integration.backend_worker import sample_jar, tenant_of, uploaded

EVIDENCE = """
MERGE (conversion:Conversion {id: $conversion_id}) SET conversion.tenant_id = $tenant_id
MERGE (java:JavaConcept {id: $java_id}) SET java.kind = 'block'
MERGE (mapping:Mapping {key: $key}) SET mapping.outcome = $outcome, mapping.reason = $reason
MERGE (mapping)-[:OF]->(java)
MERGE (conversion)-[:EVIDENCES]->(mapping)
FOREACH (id IN [x IN [$bedrock_id] WHERE x IS NOT NULL] |
    MERGE (bedrock:BedrockConcept {id: id}) MERGE (mapping)-[:TO]->(bedrock))
"""
Contribute = Callable[..., None]


@pytest.fixture(scope="module")
def driver(stores: Stores) -> Iterator[Driver]:
    auth = ("neo4j", stores.secrets["neo4j_password"])
    with GraphDatabase.driver(f"bolt://127.0.0.1:{stores.neo4j.port}", auth=auth) as driver:
        yield driver


@pytest.fixture
def java_id() -> str:
    return f"demo:lamp_{uuid.uuid4().hex[:8]}"


@pytest.fixture
def contribute(driver: Driver, java_id: str) -> Contribute:
    """Evidence as the AI engine's projection writes it."""

    def write(tenant: uuid.UUID, outcome: str = "converted", reason: str = "", bedrock_id: str | None = None) -> None:
        driver.execute_query(
            EVIDENCE,
            java_id=java_id,
            tenant_id=str(tenant),
            conversion_id=str(uuid.uuid4()),
            key=f"{java_id}|{outcome}|{reason}|{bedrock_id}",
            outcome=outcome,
            reason=reason,
            bedrock_id=bedrock_id,
        )

    return write


@pytest.fixture
def visitor(backend: BackendProcess) -> Iterator[httpx.Client]:
    with backend.visitor() as client:
        yield client


def test_ones_own_concept_is_told_with_its_evidence(
    visitor: httpx.Client, stores: Stores, contribute: Contribute, java_id: str, tmp_path: Path
) -> None:
    tenant = tenant_of(stores, uploaded(visitor, sample_jar(tmp_path)))
    contribute(tenant, bedrock_id="minecraft:lantern")
    contribute(tenant, bedrock_id="minecraft:lantern")
    contribute(tenant, "unsupported", "No such shape yet")
    answer = visitor.get(f"/api/v1/concepts/{java_id}").raise_for_status().json()
    assert answer == {
        "java_id": java_id,
        "kind": "block",
        "evidence": 3,
        "mappings": [
            {"bedrock_id": "minecraft:lantern", "outcome": "converted", "reason": "", "evidence": 2},
            {"bedrock_id": None, "outcome": "unsupported", "reason": "No such shape yet", "evidence": 1},
        ],
    }


def test_the_evidence_of_others_counts_from_the_third_tenant_on(
    visitor: httpx.Client, stores: Stores, contribute: Contribute, java_id: str, tmp_path: Path
) -> None:
    tenant = tenant_of(stores, uploaded(visitor, sample_jar(tmp_path)))
    contribute(tenant)
    for stranger, told in ((uuid.uuid4(), 1), (uuid.uuid4(), 3)):
        contribute(stranger)
        body = visitor.get(f"/api/v1/concepts/{java_id}").raise_for_status().json()
        assert (body["evidence"], [mapping["evidence"] for mapping in body["mappings"]]) == (told, [told])


def test_a_concept_is_public_from_the_third_tenant_on(
    backend: BackendProcess, contribute: Contribute, java_id: str
) -> None:
    first, second, third = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    with backend.visitor() as stranger:
        for tenant in (first, first, second, second):
            contribute(tenant)
        answer = stranger.get(f"/api/v1/concepts/{java_id}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        contribute(third)
        contribute(third, "approximated", "Only one tenant's reason")
        body = stranger.get(f"/api/v1/concepts/{java_id}").raise_for_status().json()
    assert body["evidence"] == 6
    assert [mapping["outcome"] for mapping in body["mappings"]] == ["converted"], "what one alone knows stays its own"


@pytest.mark.parametrize("odd", ["nobody:knows", "a/b/c", "%27%20RETURN%201", "minecraft:stone%00"])
def test_what_nobody_contributed_is_not_found(visitor: httpx.Client, odd: str) -> None:
    assert visitor.get(f"/api/v1/concepts/{odd}").status_code == 404
    assert visitor.get(f"/api/v1/concepts/{'x' * 301}").status_code == 422
