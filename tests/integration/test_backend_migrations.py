"""The schema goes up from nothing, down to nothing and up again, also with data in it, by the command of the stack."""

from __future__ import annotations

import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from psycopg import sql

from backend.concepts import repository as _concepts  # noqa: F401 - every model is imported before metadata is read
from backend.conversions import models as conversion_models
from backend.db.base import Base
from backend.db.migrate import LOCK_KEY, head_revision
from backend.kit import outbox as _outbox  # noqa: F401
from backend.ledger import models as _ledger  # noqa: F401
from backend.previews import models as _previews  # noqa: F401
from backend.search import models as _search  # noqa: F401
from tests.integration.backend_process import Stores

OWN_TABLES = {"tenants", "conversions", "ledger_rows", "previews", "conversion_embeddings", "outbox"}


@pytest.fixture
def database(stores: Stores) -> Iterator[str]:
    """A database of its own beside the one that the backend uses, with the rights that the stack's has."""
    name = f"migrations_{uuid.uuid4().hex[:8]}"
    with stores.connect(user="postgres") as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    with stores.connect(user="postgres", database=name) as connection:
        connection.execute("CREATE EXTENSION vector")
        connection.execute("ALTER SCHEMA public OWNER TO modporter_migrator")
    yield name
    with stores.connect(user="postgres") as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def relations(stores: Stores, database: str) -> set[str]:
    """Tables, views and sequences of the schema, without what belongs to the extension."""
    with stores.connect(database=database) as connection:
        rows = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'S')"
        ).fetchall()
    return {row[0] for row in rows}


def procrastinate_objects(stores: Stores, database: str) -> int:
    with stores.connect(database=database) as connection:
        [[count]] = connection.execute(
            r"SELECT (SELECT count(*) FROM pg_class WHERE relname LIKE '%procrastinate%')"
            r" + (SELECT count(*) FROM pg_proc WHERE proname LIKE '%procrastinate%')"
            r" + (SELECT count(*) FROM pg_type WHERE typname LIKE '%procrastinate%')"
        ).fetchall()
    return int(count)


def fill(stores: Stores, database: str) -> uuid.UUID:
    with stores.connect(database=database) as connection:
        return insert_everywhere(connection)


def insert_everywhere(connection: psycopg.Connection[Any]) -> uuid.UUID:
    """One row in every table, and a job; returns the conversion's id."""
    tenant, conversion = uuid.uuid4(), uuid.uuid4()
    connection.execute("INSERT INTO tenants (id) VALUES (%s)", [tenant])
    connection.execute(
        "INSERT INTO conversions (id, tenant_id, status, file_name, file_size_bytes, file_sha256)"
        " VALUES (%s, %s, 'queued', 'a.jar', 1, repeat('a', 64))",
        [conversion, tenant],
    )
    connection.execute(
        "INSERT INTO ledger_rows (conversion_id, position, tenant_id, source, kind, outcome)"
        " VALUES (%s, 0, %s, 'a.png', 'texture', 'converted')",
        [conversion, tenant],
    )
    connection.execute("INSERT INTO previews VALUES (%s, %s, 0, 'a:b', 'item', '0.png', 16, 16)", [conversion, tenant])
    connection.execute(
        "INSERT INTO conversion_embeddings (conversion_id, tenant_id, model, embedding) VALUES (%s, %s, 'm', %s)",
        [conversion, tenant, str([1.0] * 384)],
    )
    connection.execute("INSERT INTO outbox (tenant_id, topic, payload) VALUES (%s, 'x', '{}')", [tenant])
    connection.execute(
        "SELECT procrastinate_defer_jobs_v1(ARRAY[ROW('q', 't', 0, NULL, NULL, '{}', NULL)"
        "::procrastinate_job_to_defer_v1])"
    )
    return conversion


def test_up_down_and_up_again_with_data(stores: Stores, database: str) -> None:
    assert relations(stores, database) == set()
    assert stores.migrate("status", database=database).returncode == 1
    stores.migrate("upgrade", database=database)
    assert stores.migrate("status", database=database).returncode == 0
    assert relations(stores, database) >= OWN_TABLES | {"procrastinate_jobs", "procrastinate_events"}
    fill(stores, database)

    stores.migrate("downgrade", "0001", database=database)
    assert procrastinate_objects(stores, database) == 0
    with stores.connect(database=database) as connection:
        assert connection.execute("SELECT count(*) FROM ledger_rows").fetchall() == [(1,)]
    stores.migrate("upgrade", database=database)

    stores.migrate("downgrade", "base", database=database)
    assert relations(stores, database) <= {"alembic_version"}
    stores.migrate("upgrade", database=database)
    fill(stores, database)


def test_a_second_upgrade_changes_nothing(stores: Stores, database: str) -> None:
    stores.migrate("upgrade", database=database)
    conversion = fill(stores, database)
    stores.migrate("upgrade", database=database)
    with stores.connect(database=database) as connection:
        assert connection.execute("SELECT id FROM conversions").fetchall() == [(conversion,)]


def test_older_code_leaves_a_newer_database_as_it_is(stores: Stores, database: str) -> None:
    stores.migrate("upgrade", database=database)
    with stores.connect(database=database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9001'")
    done = stores.migrate("upgrade", database=database)
    assert done.returncode == 0
    assert "the database is newer than this code" in done.stdout + done.stderr
    with stores.connect(database=database) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("9001",)]


def test_two_upgrades_at_once_both_end_well(stores: Stores, database: str) -> None:
    environment = {
        "DATABASE_HOST": "127.0.0.1",
        "DATABASE_PORT": str(stores.postgres.port),
        "DATABASE_NAME": database,
        "DATABASE_MIGRATOR_PASSWORD": stores.secrets["database_migrator_password"],
    }
    command = [sys.executable, "-m", "backend.db.migrate", "upgrade"]
    runs = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) for _ in range(3)
    ]
    outputs = [run.communicate(timeout=60)[0].decode() for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], outputs
    assert stores.migrate("status", database=database).returncode == 0


def test_a_migration_outlasts_the_time_limit_of_requests(stores: Stores, database: str) -> None:
    with (
        stores.connect(user="postgres") as connection,
        stores.connect(database=database) as another_run,
        ThreadPoolExecutor(1) as pool,
    ):
        connection.execute(sql.SQL("ALTER DATABASE {} SET statement_timeout = '1s'").format(sql.Identifier(database)))
        another_run.execute("SELECT pg_advisory_lock(%s)", [LOCK_KEY])
        upgrade = pool.submit(stores.migrate, "upgrade", database=database)
        time.sleep(5)
        assert not upgrade.done()
        another_run.execute("SELECT pg_advisory_unlock(%s)", [LOCK_KEY])
        upgrade.result()


def test_a_database_that_is_away_is_waited_for_and_then_given_up(stores: Stores) -> None:
    environment = {
        "DATABASE_HOST": "127.0.0.1",
        "DATABASE_PORT": "9",
        "DATABASE_MIGRATOR_PASSWORD": stores.secrets["database_migrator_password"],
        "DATABASE_WAIT_SECONDS": "2",
    }
    done = subprocess.run(
        [sys.executable, "-m", "backend.db.migrate", "upgrade"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode != 0
    assert done.stdout.count("waiting for the database") >= 2


def test_the_application_reads_and_writes_rows_but_changes_no_table(stores: Stores) -> None:
    tenant = uuid.uuid4()
    with stores.connect(user="modporter_app") as connection:
        connection.execute("INSERT INTO tenants (id) VALUES (%s)", [tenant])
        connection.execute("DELETE FROM tenants WHERE id = %s", [tenant])
        for statement in ("DROP TABLE outbox", "CREATE TABLE own (id int)", "ALTER TABLE tenants ADD COLUMN x int"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


def test_models_and_tables_agree(stores: Stores) -> None:
    assert conversion_models.Tenant.__tablename__ in Base.metadata.tables
    assert set(Base.metadata.tables) == OWN_TABLES
    for name, table in Base.metadata.tables.items():
        rows = stores.query(
            "SELECT column_name, is_nullable FROM information_schema.columns WHERE table_name = %s", name
        )
        found = {column: nullable == "YES" for column, nullable in rows}
        for column in table.columns:
            assert column.name in found, f"{name}.{column.name}"
            assert found[column.name] == column.nullable, f"{name}.{column.name}"


@pytest.mark.parametrize(
    "change",
    [
        "status = 'lost'",
        "progress = 1.5",
        "file_size_bytes = -1",
        "file_sha256 = 'not a digest'",
        "idempotency_key = 'k'",
        "tenant_id = gen_random_uuid()",
    ],
)
def test_the_database_refuses_what_cannot_be(stores: Stores, change: str) -> None:
    with stores.connect() as connection, connection.transaction(force_rollback=True):
        conversion = insert_everywhere(connection)
        with pytest.raises(psycopg.errors.IntegrityError):
            connection.execute(f"UPDATE conversions SET {change} WHERE id = %s", [conversion])


def test_the_list_and_the_vector_search_have_their_indexes(stores: Stores) -> None:
    definitions = " ".join(
        row[0] for row in stores.query("SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'")
    )
    assert "(tenant_id, created_at DESC, id DESC)" in definitions
    assert "USING hnsw (embedding vector_cosine_ops)" in definitions
    assert "outbox USING btree (id) WHERE (processed_at IS NULL)" in definitions
    assert head_revision() == stores.query("SELECT version_num FROM alembic_version")[0][0]
