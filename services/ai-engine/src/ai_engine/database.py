"""The two pools of connections: through pgBouncer for all transactions of ours, direct for the job queue."""

from psycopg import capabilities
from psycopg_pool import AsyncConnectionPool

from ai_engine.settings import Settings

ACQUIRE_SECONDS = 5.0


def transaction_pool(settings: Settings) -> AsyncConnectionPool:
    """Not open yet. psycopg's prepared statements follow pgBouncer's server connections from libpq 17 on."""
    capabilities.has_send_close_prepared(check=True)
    return _pool("transactions", settings.pooled_conninfo, settings.worker_concurrency + 5)


def direct_pool(settings: Settings) -> AsyncConnectionPool:
    """Not open yet; for Procrastinate, whose listener needs a session that stays."""
    return _pool("queue", settings.direct_conninfo, settings.worker_concurrency + 3)


def _pool(name: str, conninfo: str, max_size: int) -> AsyncConnectionPool:
    return AsyncConnectionPool(
        conninfo,
        name=name,
        min_size=1,
        max_size=max_size,
        timeout=ACQUIRE_SECONDS,
        check=AsyncConnectionPool.check_connection,
        open=False,
    )
