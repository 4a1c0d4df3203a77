"""The AI engine as a process of its own in front of real stores, and hands for its tests: conversions, kills, waits."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from tests.fixtures.ports import free_port
from tests.integration.backend_process import Stores
from tests.integration.containers import ROOT

STAND_IN_CONVERTER = ROOT / "services/ai-engine/tests/data/stand_in_converter.py"

SERVE = """
import sys
from ai_engine.app import create_app
from ai_engine.conversions.converter import SandboxedConverter
from ai_engine.sandbox.limits import Limits
from ai_engine.settings import load_settings
from common.logging import configure_logging
from common.server import serve
settings = load_settings()
configure_logging(settings)
stand_in = sys.argv[2:]
limits = Limits(wall_seconds=settings.conversion_timeout_seconds)
converter = SandboxedConverter(limits, argv=(sys.executable, *stand_in), read_paths=stand_in) if stand_in else None
serve(create_app(settings, converter), host="127.0.0.1", port=int(sys.argv[1]), settings=settings)
"""


class AiEngineProcess:
    """A context manager; `overrides` are environment variables. Converts with the stand-in unless told otherwise."""

    def __init__(self, stores: Stores, model_dir: Path, *, real_converter: bool = False, **overrides: str) -> None:
        self.port = free_port()
        self.base_url = f"http://127.0.0.1:{self.port}"
        self._arguments = [str(self.port), *([] if real_converter else [str(STAND_IN_CONVERTER)])]
        self._folder = tempfile.TemporaryDirectory(prefix="ai-engine-")
        self.work_dir = Path(self._folder.name) / "work"
        self._environment = {
            "ENVIRONMENT": "development",
            "DATABASE_HOST": "127.0.0.1",
            "DATABASE_PORT": str(stores.pgbouncer.port),
            "DATABASE_DIRECT_HOST": "127.0.0.1",
            "DATABASE_DIRECT_PORT": str(stores.postgres.port),
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(stores.redis.port),
            "NEO4J_URI": f"bolt://127.0.0.1:{stores.neo4j.port}",
            "STORAGE_URL": stores.objects.as_uri(),
            "MODEL_DIR": str(model_dir),
            "WORK_DIR": str(self.work_dir),
            **{name.upper(): value for name, value in stores.secrets.items()},
            **overrides,
        }
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", SERVE, *self._arguments],
            env={**os.environ, **self._environment},
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.base_url}/health/ready", timeout=5).status_code == 200:
                    return self
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(self.log())
            time.sleep(0.1)

    def __exit__(self, *_: object) -> None:
        try:
            if self.process.poll() is None:
                self.terminate()
                assert self.process.wait(timeout=60) == 0, self.log()
            assert '"level": "error"' not in self.log(), self.log()
        finally:
            self.kill()
            self._log.close()
            self._folder.cleanup()

    @property
    def is_busy(self) -> bool:
        """Whether a conversion has its files here."""
        return self.work_dir.is_dir() and any(self.work_dir.iterdir())

    def terminate(self) -> None:
        """Tell it to leave, as Compose does, and return at once."""
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: no chance to say good-bye."""
        self.process.kill()
        self.process.wait()

    def log(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Conversion:
    """One conversion in the database, seen from outside."""

    stores: Stores
    id: uuid.UUID
    tenant_id: uuid.UUID

    @property
    def prefix(self) -> str:
        return f"tenants/{self.tenant_id}/conversions/{self.id}/"

    def get(self, *columns: str) -> tuple[Any, ...] | Any:
        """The columns' values; one value alone for one column."""
        rows = self.stores.query(f"SELECT {', '.join(columns)} FROM conversions WHERE id = %s", self.id)
        assert rows, "the conversion is gone"
        return rows[0] if len(columns) > 1 else rows[0][0]

    def count(self, table: str) -> int:
        [(count,)] = self.stores.query(f"SELECT count(*) FROM {table} WHERE conversion_id = %s", self.id)
        return int(count)

    def events(self, topic: str) -> list[dict[str, Any]]:
        rows = self.stores.query(
            "SELECT payload FROM outbox WHERE topic = %s AND payload->>'conversion_id' = %s ORDER BY id",
            topic,
            str(self.id),
        )
        return [row[0] for row in rows]

    def files(self) -> set[str]:
        return {name.removeprefix(self.prefix) for name in self.stores.files() if name.startswith(self.prefix)}

    def job(self) -> tuple[str, int, int]:
        """Status, priority and attempts of its job."""
        [row] = self.stores.query(
            "SELECT job.status::text, job.priority, job.attempts FROM procrastinate_jobs AS job"
            " JOIN conversions ON conversions.job_id = job.id WHERE conversions.id = %s",
            self.id,
        )
        return row  # type: ignore[return-value]

    @property
    def job_is_gone(self) -> bool:
        """Whether the queue remembers nothing of it, as after a job that ended well."""
        return not self.stores.query(
            "SELECT id FROM procrastinate_jobs WHERE args->>'conversion_id' = %s", str(self.id)
        )

    def wait_for(self, *statuses: str, seconds: float = 30) -> str:
        """Until it has one of these statuses; which."""
        eventually(lambda: self.get("status") in statuses, seconds, lambda: self.get("status", "stage", "error_detail"))
        status: str = self.get("status")
        return status


def queue(stores: Stores, orders: dict[str, Any] | Path, *, seconds_ago: int = 0, with_job: bool = True) -> Conversion:
    """Store a jar, a conversion and its job as the backend does; `orders` is the stand-in's jar, a path a real one."""
    conversion = Conversion(stores, uuid.uuid4(), uuid.uuid4())
    jar = stores.objects / conversion.prefix / "upload.jar"
    jar.parent.mkdir(parents=True)
    jar.write_bytes(orders.read_bytes() if isinstance(orders, Path) else json.dumps(orders).encode())
    with stores.connect() as connection, connection.transaction():
        connection.execute("INSERT INTO tenants (id) VALUES (%s)", [conversion.tenant_id])
        job_id = None
        if with_job:
            [job_id] = connection.execute(
                "INSERT INTO procrastinate_jobs (queue_name, task_name, priority, args)"
                " VALUES ('conversions', 'convert', 0, jsonb_build_object('conversion_id', %s::text)) RETURNING id",
                [str(conversion.id)],
            ).fetchone() or [None]
        connection.execute(
            "INSERT INTO conversions"
            " (id, tenant_id, status, file_name, file_size_bytes, file_sha256, job_id, created_at)"
            " VALUES (%s, %s, 'queued', 'mod.jar', 1, %s, %s, now() - make_interval(secs => %s))",
            [conversion.id, conversion.tenant_id, "0" * 64, job_id, seconds_ago],
        )
    return conversion


def eventually(
    is_so: Callable[[], object], seconds: float = 30, otherwise: Callable[[], object] = lambda: "not in time"
) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.05)


def assert_stored_once(conversion: Conversion, rows: int) -> None:
    """Everything is there, and nothing twice."""
    assert conversion.count("ledger_rows") == rows
    assert conversion.count("previews") == 1
    assert conversion.count("conversion_embeddings") == 1
    assert len(conversion.events("conversion.completed")) == 1
    assert conversion.files() == {"upload.jar", "addon.mcaddon", "previews/a.png"}
    eventually(lambda: conversion.job_is_gone, 5)
