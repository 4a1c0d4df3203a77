"""Each locally built image behaves as docker-compose.prod.yml expects of the upstream image that it replaces.

Real containers, with the hardening of the Compose file and the project's own configuration files. Nothing here runs
where images are pulled from a registry: there are no local ones to test then.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import docker
import neo4j
import psycopg
import pytest
import redis
from docker.errors import DockerException, NotFound
from docker.models.containers import Container

from scripts import images

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "c-images"
COMPONENTS = ("postgres", "pgbouncer", "redis", "nginx", "neo4j")
OWNER_PASSWORD, APP_PASSWORD, MIGRATOR_PASSWORD = "owner's $ecret", "app-p4ss", "migrator-p4ss"
GRAPH_PASSWORD = "graph-p4ssword"
START_SECONDS = 120  # Neo4j needs most of a minute on a busy machine

Result = TypeVar("Result")


class Bench:
    """Starts containers the way the Compose file does, and knows how to remove all of them."""

    def __init__(self, client: docker.DockerClient, secrets: Path) -> None:
        self.client = client
        self.secrets = secrets

    def start(
        self, component: str, *, port: int, files: dict[Path, str], data: str = "", name: str = "", **options: Any
    ) -> Container:
        """A hardened container whose name on the bench's network is `name`, or the component's.

        `files` are mounted read-only (host path -> path inside), `data` is where a named volume goes.
        """
        name = name or component
        volumes = {str(source): {"bind": target, "mode": "ro"} for source, target in files.items()}
        if data:
            volumes[f"{PREFIX}-{name}"] = {"bind": data, "mode": "rw"}
        return self.client.containers.run(
            f"modporter/{component}:local",
            name=f"{PREFIX}-{name}",
            detach=True,
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges:true"],
            network=PREFIX,
            networking_config={PREFIX: self.client.api.create_endpoint_config(aliases=[name])},
            ports={f"{port}/tcp": ("127.0.0.1", None)},
            volumes=volumes,
            **options,
        )

    def secret(self, name: str, content: str) -> Path:
        path = self.secrets / name
        path.write_text(content)
        path.chmod(0o444)
        return path

    def remove(self) -> None:
        for container in self.client.containers.list(all=True, filters={"name": f"^/{PREFIX}-"}):
            container.remove(force=True, v=True)
        for volume in self.client.volumes.list(filters={"name": f"{PREFIX}-"}):
            volume.remove(force=True)
        with suppress(NotFound):
            self.client.networks.get(PREFIX).remove()


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    try:
        client = docker.from_env()
        client.ping()
    except DockerException as error:
        if os.environ.get("REQUIRE_DOCKER") == "1":
            raise
        pytest.skip(f"no Docker engine answers: {error}")
    if images.resolve_mode(os.environ.get("IMAGES", "auto")) != "local":
        client.close()
        pytest.skip("images are pulled from a registry on this machine, none is built")
    images.prepare("local", COMPONENTS)
    found = Bench(client, tmp_path_factory.mktemp("secrets"))
    found.remove()
    client.networks.create(PREFIX)
    try:
        yield found
    finally:
        found.remove()
        client.close()


def port_of(container: Container, port: int) -> int:
    container.reload()
    return int(container.ports[f"{port}/tcp"][0]["HostPort"])


def user_of(container: Container) -> str:
    """User and group id of the container's first process."""
    status = container.exec_run(["grep", "-E", "^[UG]id", "/proc/1/status"]).output.decode()
    return ":".join(line.split()[1] for line in status.splitlines())


def eventually(attempt: Callable[[], Result], container: Container) -> Result:
    """What the attempt returns once it stops raising; the container's log explains a failure."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return attempt()
        except Exception as error:
            container.reload()
            if container.status == "exited" or time.monotonic() > deadline:
                log = container.logs(tail=40).decode(errors="replace")
                raise AssertionError(f"{container.name} does not answer: {error}\n{log}") from error
            time.sleep(0.3)


@pytest.fixture(scope="module")
def postgres(bench: Bench) -> Container:
    secrets = {
        "postgres_password": OWNER_PASSWORD,
        "database_app_password": APP_PASSWORD,
        "database_migrator_password": MIGRATOR_PASSWORD,
    }
    container = bench.start(
        "postgres",
        port=5432,
        command=["postgres", "-c", "config_file=/etc/postgresql/postgresql.conf"],
        user="999:999",
        shm_size="128m",
        environment={"POSTGRES_DB": "modporter", "POSTGRES_PASSWORD_FILE": "/run/secrets/postgres_password"},
        tmpfs={"/run/postgresql": "uid=999,gid=999,mode=0755", "/tmp": "mode=1777"},
        data="/var/lib/postgresql/data",
        files={
            ROOT / "postgres/postgresql.conf": "/etc/postgresql/postgresql.conf",
            ROOT / "postgres/initdb": "/docker-entrypoint-initdb.d",
            **{bench.secret(name, content): f"/run/secrets/{name}" for name, content in secrets.items()},
        },
    )
    eventually(lambda: connect(container).close(), container)
    return container


def connect(
    container: Container, *, port: int = 5432, user: str = "postgres", password: str = OWNER_PASSWORD
) -> psycopg.Connection:
    return psycopg.connect(
        host="127.0.0.1",
        port=port_of(container, port),
        dbname="modporter",
        user=user,
        password=password,
        connect_timeout=5,
        autocommit=True,
    )


def test_postgres_takes_its_password_from_a_file_and_refuses_another(postgres: Container) -> None:
    with connect(postgres) as connection:
        assert connection.execute("SHOW server_version").fetchone()[0].startswith("17.")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(postgres, password="guess")
    assert user_of(postgres) == "999:999"


def test_postgres_finds_the_nearest_vector_by_an_hnsw_index(postgres: Container) -> None:
    with connect(postgres) as connection:
        assert connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'vector'").fetchone()
        connection.execute("CREATE TEMP TABLE points (id int, place vector(3))")
        connection.execute("INSERT INTO points VALUES (1, '[1,0,0]'), (2, '[0,1,0]'), (3, '[0,0,1]')")
        connection.execute("CREATE INDEX ON points USING hnsw (place vector_cosine_ops)")
        assert connection.execute("SELECT id FROM points ORDER BY place <=> '[0,2,1]' LIMIT 1").fetchone() == (2,)


def test_postgres_ran_the_project_s_own_roles_script_once_and_keeps_data_over_a_restart(postgres: Container) -> None:
    with connect(postgres, user="modporter_migrator", password=MIGRATOR_PASSWORD) as connection:
        connection.execute("CREATE TABLE kept (id int)")
        connection.execute("INSERT INTO kept VALUES (7)")
    postgres.restart(timeout=30)
    eventually(lambda: connect(postgres).close(), postgres)
    with connect(postgres, user="modporter_app", password=APP_PASSWORD) as connection:
        assert connection.execute("SELECT id FROM kept").fetchone() == (7,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TABLE forbidden (id int)")


def test_postgres_leaves_no_half_made_cluster_when_its_first_start_fails(bench: Bench) -> None:
    broken = bench.secret("broken.sql", "SELECT no_such_column;")
    container = bench.start(
        "postgres",
        port=5432,
        name="postgres-broken",
        user="999:999",
        environment={"POSTGRES_PASSWORD_FILE": "/run/secrets/password"},
        tmpfs={"/run/postgresql": "uid=999,gid=999,mode=0755", "/tmp": "mode=1777"},
        data="/var/lib/postgresql/data",
        files={
            broken: "/docker-entrypoint-initdb.d/broken.sql",
            bench.secret("password", OWNER_PASSWORD): "/run/secrets/password",
        },
    )
    assert container.wait(timeout=START_SECONDS)["StatusCode"] != 0
    assert b"no_such_column" in container.logs()
    listing = bench.client.containers.run(
        "modporter/postgres:local",
        ["ls", "-A", "/data"],
        name=f"{PREFIX}-ls",
        remove=True,
        volumes={f"{PREFIX}-postgres-broken": {"bind": "/data", "mode": "ro"}},
    )
    assert listing == b""


def test_pgbouncer_pools_scram_logins_to_that_postgres(bench: Bench, postgres: Container) -> None:
    userlist = bench.secret("userlist.txt", f'"modporter_app" "{APP_PASSWORD}"\n')
    container = bench.start(
        "pgbouncer",
        port=6432,
        user="70:70",
        tmpfs={"/tmp": "mode=1777"},
        files={
            ROOT / "pgbouncer/pgbouncer.ini": "/etc/pgbouncer/pgbouncer.ini",
            userlist: "/etc/pgbouncer/userlist.txt",
        },
    )

    def log_in(password: str) -> psycopg.Connection:
        return connect(container, port=6432, user="modporter_app", password=password)

    eventually(lambda: log_in(APP_PASSWORD).close(), container)
    with log_in(APP_PASSWORD) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("modporter_app",)
        # Prepared on one server connection, used on whichever comes next.
        for number in range(8):
            assert connection.execute("SELECT %s::int + 1", (number,), prepare=True).fetchone() == (number + 1,)
    with pytest.raises(psycopg.OperationalError):
        log_in("guess")
    health = ["pg_isready", "-q", "-h", "127.0.0.1", "-p", "6432", "-U", "modporter_app", "-d", "modporter"]
    assert container.exec_run(health).exit_code == 0
    assert user_of(container) == "70:70"


def test_redis_answers_only_the_users_of_its_acl_file(bench: Bench) -> None:
    users = f"user default off\nuser app on >{APP_PASSWORD} ~cache:* &* +@all -@admin\n"
    container = bench.start(
        "redis",
        port=6379,
        user="999:999",
        command=["redis-server", "/etc/redis/redis.conf"],
        tmpfs={"/data": "uid=999,gid=999,mode=0700", "/tmp": "mode=1777"},
        files={
            ROOT / "redis/redis.conf": "/etc/redis/redis.conf",
            bench.secret("redis_users", users): "/run/secrets/redis_users",
        },
    )

    def visit(username: str | None, password: str | None) -> redis.Redis:
        return redis.Redis(port=port_of(container, 6379), username=username, password=password, socket_timeout=5)

    with visit("app", APP_PASSWORD) as client:
        eventually(client.ping, container)
        client.set("cache:answer", "42", ex=60)
        assert client.get("cache:answer") == b"42"
        assert int(client.info("server")["redis_version"].split(".")[0]) >= 8
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.set("other", "1")
    with visit(None, None) as stranger, pytest.raises(redis.exceptions.AuthenticationError):
        stranger.ping()
    assert user_of(container) == "999:999"


def test_nginx_is_1_30_and_fills_its_templates_from_the_environment(bench: Bench) -> None:
    template = bench.secret(
        "page.conf.template",
        'server { listen 80; location = / { return 200 "${GREETING} from $request_method ${NOT_SET}"; } }\n',
    )
    frame = bench.secret(
        "nginx.conf",
        "pid /run/nginx/nginx.pid; events {} http { access_log off; include /run/nginx/*.conf; }\n",
    )
    container = bench.start(
        "nginx",
        port=80,
        user="101:101",
        sysctls={"net.ipv4.ip_unprivileged_port_start": "0"},
        environment={"GREETING": "hello", "NGINX_ENVSUBST_OUTPUT_DIR": "/run/nginx"},
        tmpfs={
            "/run/nginx": "uid=101,gid=101,mode=0755",
            "/var/cache/nginx": "uid=101,gid=101,mode=0755",
            "/tmp": "mode=1777",
        },
        files={template: "/etc/nginx/templates/page.conf.template", frame: "/etc/nginx/nginx.conf"},
    )

    def page() -> bytes:
        answer = container.exec_run(["curl", "-fsS", "-m", "3", "http://127.0.0.1/"])
        assert answer.exit_code == 0, answer.output
        return bytes(answer.output)

    # Only variables that are set are replaced: NGINX's own and unknown ones reach NGINX as they are.
    with pytest.raises(AssertionError, match='unknown "not_set" variable'):
        eventually(page, container)
    template.chmod(0o644)
    template.write_text('server { listen 80; location = / { return 200 "${GREETING} from $request_method"; } }\n')
    container.restart()
    assert eventually(page, container) == b"hello from GET"
    assert b"nginx/1.30." in container.exec_run(["nginx", "-v"]).output
    assert user_of(container) == "101:101"


def test_neo4j_takes_its_first_password_from_a_file_and_keeps_its_graph(bench: Bench) -> None:
    container = bench.start(
        "neo4j",
        port=7687,
        user="7474:7474",
        mem_limit="1g",
        environment={
            "NEO4J_AUTH_FILE": "/run/secrets/neo4j_auth",
            "NEO4J_server_memory_heap_initial__size": "128m",
            "NEO4J_server_memory_heap_max__size": "256m",
            "NEO4J_server_memory_pagecache_size": "32m",
        },
        tmpfs={"/tmp": "uid=7474,gid=7474,mode=0700", "/logs": "uid=7474,gid=7474,mode=0700"},
        data="/data",
        files={bench.secret("neo4j_auth", f"neo4j/{GRAPH_PASSWORD}"): "/run/secrets/neo4j_auth"},
    )

    def ask(query: str, password: str = GRAPH_PASSWORD) -> Any:
        address = f"bolt://127.0.0.1:{port_of(container, 7687)}"
        with neo4j.GraphDatabase.driver(address, auth=("neo4j", password)) as driver:
            return driver.execute_query(query).records[0][0]

    settings = "SHOW SETTINGS 'server.memory.pagecache.size' YIELD value"
    assert eventually(lambda: ask(settings), container) == "32.00MiB"
    assert ask("CALL dbms.components() YIELD versions RETURN versions[0]").startswith("5.26.")
    with pytest.raises(neo4j.exceptions.AuthError):
        ask("RETURN 1", password="guess-guess")
    ask("CREATE (n:Kept {number: 7}) RETURN n.number")
    container.restart(timeout=60)
    assert eventually(lambda: ask("MATCH (n:Kept) RETURN n.number"), container) == 7
    assert container.exec_run(["wget", "-q", "-O", "/dev/null", "http://127.0.0.1:7474/"]).exit_code == 0
    assert user_of(container) == "7474:7474"
