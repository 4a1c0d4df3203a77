"""Redis behind a circuit breaker: what it does for us must never cost a request more than a moment.

A failed command opens the circuit: commands are skipped at once (they return None) while a background task asks for a
PING, five times with growing pauses. When all five fail, the circuit stays open and the next command after a rest
starts the task again. Caching, rate limits and progress messages go through here; all have an answer for None.

    closed --a command fails--> open: probing --PING answered--> closed
                                  |      ^
                     five failed  v      | a command, after the rest
                                open: resting
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from backend.settings import BackendSettings

COMMAND_SECONDS = 0.25
PROBE_PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0, 8.0)
REST_SECONDS = 10.0

T = TypeVar("T")
log = structlog.stdlib.get_logger("redis")


def connect(settings: BackendSettings) -> Redis:
    """A client that gives up quickly and never retries by itself. Connects at the first command."""
    return Redis(
        host=settings.redis_host,
        port=settings.redis_port,
        username=settings.redis_user,
        password=settings.redis_app_password.get_secret_value(),
        socket_timeout=COMMAND_SECONDS,
        socket_connect_timeout=COMMAND_SECONDS,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
        client_name=f"backend@{settings.replica}",
    )


class RedisGate:
    """The only way to Redis for the rest of the code."""

    def __init__(self, client: Redis, pauses_seconds: tuple[float, ...] = PROBE_PAUSES_SECONDS) -> None:
        self._client = client
        self._pauses_seconds = pauses_seconds
        self._is_open = False
        self._resting_until = 0.0
        self._prober: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """Whether Redis is taken for dead, so that commands are skipped."""
        return self._is_open

    async def attempt(self, command: Callable[[Redis], Awaitable[T]]) -> T | None:
        """The result of a command, or None when Redis is away or too slow."""
        if self._is_open:
            self._probe_if_rested()
            return None
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                return await command(self._client)
        except (RedisError, OSError, TimeoutError) as error:
            self._open(error)
            return None

    async def subscribe(self, channel: str) -> PubSub | None:
        """A subscription that is in force when this returns, or None. The caller closes it."""

        async def start(client: Redis) -> PubSub:
            subscription = client.pubsub(ignore_subscribe_messages=False)
            try:
                await subscription.subscribe(channel)
                await subscription.get_message(timeout=COMMAND_SECONDS)  # the server's confirmation
            except BaseException:
                await subscription.aclose()  # type: ignore[no-untyped-call]
                raise
            return subscription

        return await self.attempt(start)

    async def probe(self) -> None:
        """Raise when Redis does not answer; asks Redis itself, whatever the circuit says."""
        await self._client.ping()

    async def close(self) -> None:
        if self._prober is not None:
            self._prober.cancel()
        await self._client.aclose()

    def _open(self, error: Exception) -> None:
        if not self._is_open:
            log.warning("redis is away, going on without", reason=f"{type(error).__name__}: {error}"[:200])
            self._is_open = True
            self._start_probing()

    def _probe_if_rested(self) -> None:
        if (self._prober is None or self._prober.done()) and time.monotonic() >= self._resting_until:
            self._start_probing()

    def _start_probing(self) -> None:
        self._prober = asyncio.create_task(self._probe_until_back())

    async def _probe_until_back(self) -> None:
        for pause in self._pauses_seconds:
            await asyncio.sleep(pause)
            try:
                async with asyncio.timeout(COMMAND_SECONDS):
                    await self._client.ping()
            except (RedisError, OSError, TimeoutError):
                continue
            log.info("redis is back")
            self._is_open = False
            return
        self._resting_until = time.monotonic() + REST_SECONDS
