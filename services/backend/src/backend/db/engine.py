"""The connection pool and the one way to a transaction. Made by the application's lifespan.

The pool talks to pgBouncer in transaction mode. psycopg prepares what it has seen five times; with libpq 17 or newer it
does so (and drops it) by protocol messages, which pgBouncer follows from one server connection to the next.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg import capabilities
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from backend.settings import BackendSettings

POOL_SIZE = 20
POOL_OVERFLOW = 10
POOL_WAIT_SECONDS = 10
CONNECT_SECONDS = 5


class Database:
    """A pool of connections; `transaction()` is a unit of work that commits when its block ends well."""

    def __init__(self, settings: BackendSettings) -> None:
        capabilities.has_send_close_prepared(check=True)
        self._engine = create_async_engine(
            settings.database_url,
            pool_size=POOL_SIZE,
            max_overflow=POOL_OVERFLOW,
            pool_timeout=POOL_WAIT_SECONDS,
            pool_pre_ping=True,
            use_native_hstore=False,  # spares a look-up of the type on every new connection
            hide_parameters=True,  # values belong to tenants, not into logs
            connect_args={"connect_timeout": CONNECT_SECONDS, "application_name": f"backend@{settings.replica}"[:63]},
        )
        self._sessions = async_sessionmaker(self._engine, expire_on_commit=False)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Commits at the end of the block, rolls back when it raises. Takes a connection at the first statement."""
        async with self._sessions.begin() as session:
            yield session

    async def probe(self) -> None:
        """Raise when the database does not answer."""
        async with self._engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        await self._engine.dispose()
