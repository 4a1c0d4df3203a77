"""A limit of uploads a minute for one client address, shared by all replicas through Redis.

A sliding window from two counters: the last minute's count, weighted by how much of it still lies in the window, plus
this minute's. Without Redis everybody is let through; NGINX has a limit of its own.
"""

from __future__ import annotations

import ipaddress
import math
import time

from redis.asyncio import Redis

from backend.kit.redis import RedisGate

WINDOW_SECONDS = 60


class RateLimit:
    """At most `per_minute` times for one client."""

    def __init__(self, redis: RedisGate, name: str, per_minute: int) -> None:
        self._redis = redis
        self._name = name
        self._per_minute = per_minute

    async def seconds_to_wait(self, client_address: str) -> int:
        """Count one more; 0 when it is within the limit, else after how many seconds to try again."""
        now = time.time()
        window, elapsed = divmod(now, WINDOW_SECONDS)
        client = client_network(client_address)
        current_key, previous_key = (f"rate:{self._name}:{client}:{int(window) - age}" for age in (0, 1))

        async def count(redis: Redis) -> tuple[int, int]:
            async with redis.pipeline(transaction=False) as pipeline:
                pipeline.incr(current_key)
                pipeline.expire(current_key, 2 * WINDOW_SECONDS)
                pipeline.get(previous_key)
                current, _, previous = await pipeline.execute()
            return int(current), int(previous or 0)

        counts = await self._redis.attempt(count)
        if counts is None:
            return 0
        current, previous = counts
        if previous * (1 - elapsed / WINDOW_SECONDS) + current <= self._per_minute:
            return 0
        return max(1, math.ceil(WINDOW_SECONDS - elapsed))


def client_network(address: str) -> str:
    """What counts as one client: an IPv4 address, or the /64 network that one IPv6 customer usually has."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, 64), strict=False).network_address)
    return str(parsed)
