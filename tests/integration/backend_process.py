"""The backend as a process of its own in front of real stores, and hands for its tests: SQL, files, visitors."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import psycopg

from tests.fixtures.ports import free_port
from tests.integration.containers import Server

SERVE = """
import sys
from backend.app import create_app
from backend.settings import BackendSettings
from common.logging import configure_logging
from common.server import serve
settings = BackendSettings()
configure_logging(settings)
serve(create_app(settings), host="127.0.0.1", port=int(sys.argv[1]), settings=settings)
"""


@dataclass(frozen=True, slots=True)
class Stores:
    """Everything that the backend talks to, and where its files lie."""

    postgres: Server
    pgbouncer: Server
    redis: Server
    neo4j: Server
    secrets: dict[str, str]
    objects: Path

    def connect(self, user: str = "modporter_migrator", database: str = "modporter") -> psycopg.Connection[Any]:
        secret = {"modporter_migrator": "database_migrator_password", "modporter_app": "database_app_password"}
        return psycopg.connect(
            host="127.0.0.1",
            port=self.postgres.port,
            dbname=database,
            user=user,
            password=self.secrets[secret.get(user, "postgres_password")],
            autocommit=True,
        )

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run one statement as the owner of the schema; the rows, if it gives any."""
        with self.connect() as connection:
            cursor = connection.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []

    def migrate(self, *arguments: str, database: str = "modporter") -> subprocess.CompletedProcess[str]:
        """`python -m backend.db.migrate ...`; the caller judges the exit code except for upgrades, which must work."""
        environment = {
            "DATABASE_HOST": "127.0.0.1",
            "DATABASE_PORT": str(self.postgres.port),
            "DATABASE_NAME": database,
            "DATABASE_MIGRATOR_PASSWORD": self.secrets["database_migrator_password"],
        }
        done = subprocess.run(
            [sys.executable, "-W", "error", "-m", "backend.db.migrate", *arguments],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0 or arguments[0] == "status", done.stdout + done.stderr
        return done

    def files(self) -> set[str]:
        """Every file in object storage."""
        return {str(path.relative_to(self.objects)) for path in self.objects.rglob("*") if path.is_file()}

    def counts(self) -> tuple[int, ...]:
        """How many tenants, conversions and jobs there are."""
        [row] = self.query(
            "SELECT (SELECT count(*) FROM tenants), (SELECT count(*) FROM conversions),"
            " (SELECT count(*) FROM procrastinate_jobs)"
        )
        return row


class BackendProcess:
    """A context manager; `overrides` are environment variables. Errors in its log fail the test, unless meant."""

    def __init__(self, stores: Stores, *, may_log_errors: bool = False, **overrides: str) -> None:
        self.stores = stores
        self._may_log_errors = may_log_errors
        self.port = free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        self._environment = {
            "ENVIRONMENT": "development",  # plain HTTP: no Secure cookies
            "LOG_LEVEL": "info",
            "DATABASE_HOST": "127.0.0.1",
            "DATABASE_PORT": str(stores.pgbouncer.port),
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(stores.redis.port),
            "NEO4J_URI": f"bolt://127.0.0.1:{stores.neo4j.port}",
            "AI_ENGINE_URL": "http://127.0.0.1:9",
            "STORAGE_URL": stores.objects.as_uri(),
            "MAX_UPLOAD_MB": "12",
            "UPLOAD_RATE": "10000",
            "TRUSTED_PROXIES": "*",
            **{name.upper(): value for name, value in stores.secrets.items()},
            **overrides,
        }
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", SERVE, str(self.port)],
            env={**os.environ, **self._environment},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"{self.base_url}/health/live").raise_for_status()
                return self
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(self.log())
            time.sleep(0.1)

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        remarkable = [line for line in self.log().splitlines() if '"level": "info"' not in line]
        self._log.close()
        assert code == 0, "\n".join(remarkable[-50:])
        if not self._may_log_errors:
            errors = [line for line in remarkable if '"level": "warning"' not in line]
            assert not errors, "\n".join(errors)

    def terminate(self) -> None:
        """Tell it to leave, as Compose does, and return at once."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)

    def log(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    @contextlib.contextmanager
    def visitor(self) -> Iterator[httpx.Client]:
        """Somebody with a cookie jar of their own."""
        with httpx.Client(base_url=self.base_url, timeout=30) as client:
            yield client
