"""Redis as a loudspeaker: progress messages for whoever watches; nothing breaks when it is away."""

import time

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from ai_engine.settings import Settings

PAUSE_SECONDS = 5.0
"""After a failure nothing is sent for a while, so that a dead Redis does not slow conversions down."""

log = structlog.stdlib.get_logger("redis")


def open_redis(settings: Settings) -> Redis:
    """A client that connects on first use and gives up quickly."""
    return Redis(
        host=settings.redis_host,
        port=settings.redis_port,
        username=settings.redis_user,
        password=settings.redis_app_password.get_secret_value(),
        socket_connect_timeout=1.0,
        socket_timeout=1.0,
        max_connections=16,
    )


class RedisPublisher:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._silent_until = float("-inf")

    async def publish(self, channel: str, message: str) -> None:
        """Publish, or pass over it when Redis is away; never raises."""
        if time.monotonic() < self._silent_until:
            return
        try:
            await self._redis.publish(channel, message)
        except (RedisError, OSError) as error:
            self._silent_until = time.monotonic() + PAUSE_SECONDS
            log.warning("not published", channel=channel, reason=str(error))
