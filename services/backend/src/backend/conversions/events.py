"""The live events of one conversion: Redis wakes us up, Postgres says what is true.

The subscription comes before the first look at the database, so no message falls between. Without Redis, or when it
dies in between, the database is asked every second instead. The stream ends when the conversion is finished or deleted,
and when this replica leaves; the client then connects again, to another.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator

from fastapi.sse import ServerSentEvent
from pydantic import ValidationError
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from backend.conversions import repository
from backend.conversions.models import Conversion
from backend.conversions.schemas import ProgressView, progress_of, view_of
from backend.deps import Resources
from common.drain import Drain

# With Redis the database is only asked in case a message was lost.
POLL_SECONDS_WITH_REDIS = 5.0
POLL_SECONDS_ALONE = 1.0
FINISHED = ("completed", "failed")


class EventStream:
    """One client's stream."""

    def __init__(self, resources: Resources, drain: Drain, tenant_id: uuid.UUID, conversion_id: uuid.UUID) -> None:
        self._resources = resources
        self._drain = drain
        self._tenant_id = tenant_id
        self._conversion_id = conversion_id
        self._subscription: PubSub | None = None
        self._last: ProgressView | None = None

    async def events(self) -> AsyncIterator[ServerSentEvent]:
        """`progress` events where something changed, then `completed` or `failed` with the whole conversion."""
        self._subscription = await self._resources.redis.subscribe(f"conversion:{self._conversion_id}")
        try:
            while not self._drain.is_draining:
                conversion = await self._read()
                if conversion is None:
                    return
                if conversion.status in FINISHED:
                    yield ServerSentEvent(event=conversion.status, data=view_of(conversion))
                    return
                if self._is_news(progress_of(conversion)):
                    yield self._event()
                async for progress in self._told_by_redis():
                    if progress.status in FINISHED:
                        break  # the whole conversion comes from the database
                    if self._is_news(progress):
                        yield self._event()
        finally:
            await self._unsubscribe()

    async def _read(self) -> Conversion | None:
        async with self._resources.database.transaction() as session:
            return await repository.find(session, self._tenant_id, self._conversion_id)

    def _is_news(self, progress: ProgressView) -> bool:
        """Whether this is further than what the client knows; messages and look-ups may overtake each other."""
        if self._last is not None and (progress == self._last or progress.progress < self._last.progress):
            return False
        self._last = progress
        return True

    def _event(self) -> ServerSentEvent:
        return ServerSentEvent(event="progress", data=self._last)

    async def _told_by_redis(self) -> AsyncIterator[ProgressView]:
        """Messages until it is time to ask the database again, or this replica leaves."""
        if self._subscription is None:
            await self._pause(POLL_SECONDS_ALONE)
            return
        loop = asyncio.get_running_loop()
        until = loop.time() + POLL_SECONDS_WITH_REDIS
        while (left := until - loop.time()) > 0 and not self._drain.is_draining:
            try:
                message = await self._subscription.get_message(ignore_subscribe_messages=True, timeout=min(left, 0.5))
            except (RedisError, OSError, TimeoutError):
                await self._unsubscribe()
                return
            progress = self._parse(message)
            if progress is not None:
                yield progress

    def _parse(self, message: dict[str, object] | None) -> ProgressView | None:
        if message is None or message.get("type") != "message":
            return None
        with contextlib.suppress(ValueError, TypeError, ValidationError):
            return ProgressView.model_validate({**json.loads(str(message["data"])), "id": self._conversion_id})
        return None

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._drain.wait()

    async def _unsubscribe(self) -> None:
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                await subscription.aclose()  # type: ignore[no-untyped-call]
