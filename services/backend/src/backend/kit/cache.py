"""Cache-aside in Redis for results that no longer change. Everything expires; everything works without Redis.

A deleted thing leaves a tombstone instead of nothing: a reader that fetched it from the database before the deletion
may only store it where no key is, so it cannot bring it back.
"""

from __future__ import annotations

import uuid

from redis.asyncio import Redis

from backend.kit.redis import RedisGate

LIFETIME_SECONDS = 120
TOMBSTONE = ""


def conversion_cache_key(tenant_id: uuid.UUID, conversion_id: uuid.UUID) -> str:
    """The tenant is part of the key: a look-up by anybody else misses."""
    return f"cache:conversion:{tenant_id}:{conversion_id}"


def ledger_cache_key(tenant_id: uuid.UUID, conversion_id: uuid.UUID) -> str:
    """The first page of a ledger, without a filter and at the default size."""
    return f"cache:ledger:{tenant_id}:{conversion_id}"


class Cache:
    """JSON texts by key."""

    def __init__(self, redis: RedisGate) -> None:
        self._redis = redis

    async def get(self, key: str) -> str | None:
        value = await self._redis.attempt(lambda client: client.get(key))
        return value if isinstance(value, str) and value != TOMBSTONE else None

    async def put(self, key: str, value: str) -> None:
        """Store unless something, or a tombstone, is there already."""
        await self._redis.attempt(lambda client: client.set(key, value, ex=LIFETIME_SECONDS, nx=True))

    async def bury(self, *keys: str) -> None:
        """Make sure that no key is answered from the cache any more."""

        async def bury_all(client: Redis) -> None:
            async with client.pipeline(transaction=True) as pipeline:
                for key in keys:
                    pipeline.set(key, TOMBSTONE, ex=LIFETIME_SECONDS)
                await pipeline.execute()

        await self._redis.attempt(bury_all)
