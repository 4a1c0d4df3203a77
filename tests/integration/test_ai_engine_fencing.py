"""Two workers that both believe in their job: only the later one's result is stored, and only once."""

import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from psycopg.conninfo import make_conninfo
from psycopg_pool import AsyncConnectionPool

from ai_engine.conversions.outcome import Failed
from ai_engine.conversions.repository import ConversionRepository, SummaryEmbedding
from ai_engine.conversions.result import ConversionResult, read_result
from tests.integration.ai_engine_process import Conversion, queue
from tests.integration.backend_process import Stores

pytest_plugins = ["tests.integration.ai_engine_fixtures"]

EMBEDDING = SummaryEmbedding("test", np.full(384, 1 / np.sqrt(384), dtype=np.float32))


@pytest.fixture
async def repository(ai_engine_stores: Stores) -> AsyncIterator[ConversionRepository]:
    conninfo = make_conninfo(
        host="127.0.0.1",
        port=ai_engine_stores.pgbouncer.port,
        dbname="modporter",
        user="modporter_app",
        password=ai_engine_stores.secrets["database_app_password"],
    )
    async with AsyncConnectionPool(conninfo, min_size=1, max_size=3, open=False) as pool:
        yield ConversionRepository(pool)


@pytest.fixture
def conversion(ai_engine_stores: Stores) -> Conversion:
    return queue(ai_engine_stores, {}, with_job=False)


@pytest.fixture
def result(tmp_path: Path, stand_in_result: None) -> ConversionResult:
    return read_result(tmp_path)


async def test_the_later_taker_wins_and_the_earlier_one_s_result_is_thrown_away(
    repository: ConversionRepository, conversion: Conversion, result: ConversionResult
) -> None:
    first, second = await repository.take(conversion.id), await repository.take(conversion.id)
    assert first is not None
    assert second is not None
    assert (first.attempt, second.attempt) == (1, 2)
    assert not await repository.report(first, "translating", 0.9)
    assert not await repository.complete(first, result, EMBEDDING)
    assert not await repository.fail(first, Failed("late", "too late"))
    assert conversion.get("status") == "running"
    assert (conversion.count("ledger_rows"), len(conversion.events("conversion.completed"))) == (0, 0)
    assert await repository.complete(second, result, EMBEDDING)
    assert not await repository.complete(second, result, EMBEDDING)
    assert not await repository.complete(first, result, EMBEDDING)
    assert conversion.get("status") == "completed"
    assert conversion.count("ledger_rows") == 3
    assert len(conversion.events("conversion.completed")) == 1


async def test_what_has_ended_or_is_gone_cannot_be_taken(
    repository: ConversionRepository, conversion: Conversion
) -> None:
    taken = await repository.take(conversion.id)
    assert taken is not None
    assert await repository.fail(taken, Failed("zip_bomb", "No."))
    assert await repository.take(conversion.id) is None
    assert await repository.take(uuid.uuid4()) is None
    assert not await repository.exists(uuid.uuid4())


async def test_a_result_that_cannot_be_stored_whole_is_not_stored_at_all(
    repository: ConversionRepository, conversion: Conversion, result: ConversionResult
) -> None:
    taken = await repository.take(conversion.id)
    assert taken is not None
    broken = SummaryEmbedding("test", np.ones(3, dtype=np.float32))
    with pytest.raises(Exception, match="384 dimensions"):
        await repository.complete(taken, result, broken)
    assert conversion.get("status", "converted") == ("running", None)
    assert conversion.count("ledger_rows") == 0


async def test_progress_in_the_database_never_goes_back(
    repository: ConversionRepository, conversion: Conversion
) -> None:
    taken = await repository.take(conversion.id)
    assert taken is not None
    for value in (0.2, 0.6, 0.4):
        assert await repository.report(taken, "translating", value)
    assert conversion.get("progress") == pytest.approx(0.6)
    again = await repository.take(conversion.id)
    assert again is not None
    assert json.dumps(again.progress).startswith("0.6")


async def test_one_replica_at_a_time_looks_for_lost_jobs(repository: ConversionRepository) -> None:
    async with repository.rescue_lock() as first, repository.rescue_lock() as second:
        assert first is not None
        assert second is None
    async with repository.rescue_lock() as third:
        assert third is not None
