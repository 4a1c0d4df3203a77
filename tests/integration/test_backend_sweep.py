"""What crashes leave in storage is found and deleted, and nothing else is."""

from __future__ import annotations

import asyncio
import os
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

from backend.conversions.repository import SWEEP_LOCK_KEY
from backend.conversions.tasks import sweep
from backend.db.engine import Database
from backend.settings import BackendSettings
from common.storage import open_store
from tests.integration.backend_process import BackendProcess, Stores
from tests.integration.backend_worker import sample_jar, tenant_of, uploaded


def test_the_sweep_deletes_what_crashes_left_and_nothing_else(
    stores: Stores, backend: BackendProcess, tmp_path: Path
) -> None:
    """Run by the backend every ten minutes; here by hand, with a clock of our own."""
    with backend.visitor() as visitor:
        kept_conversion = uploaded(visitor, sample_jar(tmp_path))
        failed_conversion = uploaded(visitor, sample_jar(tmp_path))
    stores.query("UPDATE conversions SET status = 'failed', finished_at = now() WHERE id = %s", failed_conversion)
    settings = BackendSettings(
        environment="development",
        database_host="127.0.0.1",
        database_port=stores.pgbouncer.port,
        **{name: value for name, value in stores.secrets.items() if name in BackendSettings.model_fields},
    )
    tenant = tenant_of(stores, kept_conversion)
    orphan = f"tenants/{tenant}/conversions/{uuid.uuid4()}/upload.jar"
    now = datetime.now(UTC)
    old = (now - timedelta(hours=2)).timestamp()
    for key in ("incoming/stale", "incoming/killed#1", orphan):
        path = stores.objects / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        os.utime(path, (old, old))
    (stores.objects / "incoming/fresh").write_bytes(b"x")
    for conversion in (kept_conversion, failed_conversion):
        for path in stores.objects.glob(f"tenants/{tenant}/conversions/{conversion}/**/*"):
            os.utime(path, (old, old))
    kept = {file for file in stores.files() if kept_conversion in file} | {"incoming/fresh"}

    async def run() -> int:
        database = Database(settings)
        try:
            return await sweep(database, open_store(stores.objects.as_uri()), now - timedelta(hours=1))
        finally:
            await database.close()

    try:
        with stores.connect() as other_replica, other_replica.transaction():
            other_replica.execute("SELECT pg_advisory_xact_lock(%s)", [SWEEP_LOCK_KEY])
            assert asyncio.run(run()) == 0, "one replica at a time"
        assert asyncio.run(run()) == 4
        assert not stores.files() & {"incoming/stale", "incoming/killed#1", orphan}
        assert not [file for file in stores.files() if failed_conversion in file]
        assert stores.files() >= kept
    finally:
        (stores.objects / "incoming/fresh").unlink()
