"""Fixtures of the integration tests: real stores in containers, started once, and the backend in front of them.

Where no Docker engine answers the tests are skipped with the reason; under REQUIRE_DOCKER=1 that is a failure.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import docker
import psycopg
import pytest
import redis
from docker.errors import DockerException, ImageNotFound
from neo4j import GraphDatabase
from neo4j.exceptions import DriverError, Neo4jError
from xdist.scheduler import LoadFileScheduling

from scripts import secret_files
from tests.integration.backend_process import BackendProcess, Stores
from tests.integration.containers import ROOT, Containers, Server, readable, wait_until

IMAGES = ("postgres", "pgbouncer", "redis", "neo4j")
USERS_OF_STORES = ("test_ai_engine_", "test_backend_")


class StoresOnce(LoadFileScheduling):
    """With several workers the tests that use the stores, about half of all, go to one: so they are started once."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return "stores" if Path(file).name.startswith(USERS_OF_STORES) else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> StoresOnce:
    return StoresOnce(config, log)


@pytest.fixture(scope="session")
def docker_client() -> Iterator[docker.DockerClient]:
    try:
        client = docker.from_env()
        client.ping()
        for role in IMAGES:
            client.images.get(f"modporter/{role}:local")
    except ImageNotFound as error:
        _unavailable(f"an image is not built (make images): {error.explanation}")
    except DockerException as error:
        _unavailable(f"no Docker engine answers: {error}")
    yield client
    client.close()


def _unavailable(reason: str) -> None:
    if os.environ.get("REQUIRE_DOCKER") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def secrets_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All secrets of the stack, made by the script that makes them for a user; readable for the containers' users."""
    folder = tmp_path_factory.mktemp("secrets")
    secret_files.ensure(folder)
    return readable(folder)


@pytest.fixture(scope="session")
def secrets(secrets_dir: Path) -> dict[str, str]:
    return secret_files.read(secrets_dir)


@pytest.fixture(scope="session")
def containers(docker_client: docker.DockerClient, secrets_dir: Path) -> Iterator[Containers]:
    started = Containers(docker_client, secrets_dir)
    try:
        yield started
    finally:
        started.remove()


@pytest.fixture(scope="session")
def postgres(containers: Containers, secrets: dict[str, str]) -> Server:
    """Postgres with the roles and the extension of the stack, without tables."""
    server = containers.run(
        "postgres",
        port=5432,
        command=["postgres", "-c", "config_file=/etc/postgresql/postgresql.conf", "-c", "fsync=off"],
        environment={"POSTGRES_DB": "modporter", "POSTGRES_PASSWORD_FILE": "/run/secrets/postgres_password"},
        mounts={
            ROOT / "postgres/postgresql.conf": "/etc/postgresql/postgresql.conf",
            ROOT / "postgres/initdb": "/docker-entrypoint-initdb.d",
            **{
                containers.secrets / name: f"/run/secrets/{name}"
                for name in ("postgres_password", "database_app_password", "database_migrator_password")
            },
        },
        shm_size="256m",
    )
    conninfo = f"host=127.0.0.1 port={server.port} dbname=modporter user=modporter_app connect_timeout=2"
    wait_until(
        lambda: psycopg.connect(conninfo, password=secrets["database_app_password"]).close(),
        server,
        psycopg.OperationalError,
    )
    return server


@pytest.fixture(scope="session")
def pgbouncer(containers: Containers, postgres: Server, secrets: dict[str, str]) -> Server:
    server = containers.run(
        "pgbouncer",
        port=6432,
        mounts={
            ROOT / "pgbouncer/pgbouncer.ini": "/etc/pgbouncer/pgbouncer.ini",
            containers.secrets / "pgbouncer_userlist.txt": "/etc/pgbouncer/userlist.txt",
        },
    )
    conninfo = f"host=127.0.0.1 port={server.port} dbname=modporter user=modporter_app connect_timeout=2"
    wait_until(
        lambda: psycopg.connect(conninfo, password=secrets["database_app_password"]).close(),
        server,
        psycopg.OperationalError,
    )
    return server


@pytest.fixture(scope="session")
def redis_server(containers: Containers, secrets: dict[str, str]) -> Server:
    server = containers.run(
        "redis",
        port=6379,
        command=["redis-server", "/etc/redis/redis.conf"],
        mounts={
            ROOT / "redis/redis.conf": "/etc/redis/redis.conf",
            containers.secrets / "redis_users.acl": "/run/secrets/redis_users",
        },
    )

    def ping() -> None:
        with redis.Redis(
            port=server.port, username="app", password=secrets["redis_app_password"], socket_timeout=2
        ) as client:
            client.ping()

    wait_until(ping, server, redis.RedisError)
    return server


@pytest.fixture(scope="session")
def neo4j_server(containers: Containers, secrets: dict[str, str]) -> Server:
    server = containers.run(
        "neo4j",
        port=7687,
        environment={
            "NEO4J_AUTH_FILE": "/run/secrets/neo4j_auth",
            "NEO4J_server_memory_heap_max__size": "384m",
            "NEO4J_server_memory_pagecache_size": "64m",
        },
        mounts={containers.secrets / "neo4j_auth": "/run/secrets/neo4j_auth"},
    )

    def ask() -> None:
        auth = ("neo4j", secrets["neo4j_password"])
        with GraphDatabase.driver(f"bolt://127.0.0.1:{server.port}", auth=auth, connection_timeout=2) as driver:
            driver.verify_connectivity()

    wait_until(ask, server, (DriverError, Neo4jError, OSError))
    return server


@pytest.fixture(scope="session")
def stores(
    postgres: Server,
    pgbouncer: Server,
    redis_server: Server,
    neo4j_server: Server,
    secrets: dict[str, str],
    secrets_dir: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Stores:
    """All stores, the database migrated to the newest revision by the command that the stack uses."""
    stores = Stores(
        postgres=postgres,
        pgbouncer=pgbouncer,
        redis=redis_server,
        neo4j=neo4j_server,
        secrets=secrets,
        objects=tmp_path_factory.mktemp("objects"),
    )
    stores.migrate("upgrade")
    return stores


@pytest.fixture(scope="session")
def backend(stores: Stores) -> Iterator[BackendProcess]:
    """The backend as its image runs it: one process, the draining server, everything behind it real."""
    with BackendProcess(stores) as process:
        yield process
