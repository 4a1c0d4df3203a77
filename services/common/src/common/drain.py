"""The one fact "this replica is leaving", set by the server and read by health routes and long-lived streams."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI


class Drain:
    """Set once, when the process was told to stop; never unset."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    @property
    def is_draining(self) -> bool:
        return self._event.is_set()

    def begin(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        """Return when the replica begins to leave. Streams race this against their next message."""
        await self._event.wait()


def drain_of(app: FastAPI) -> Drain:
    """The drain of an application, made on first use so that tests without a server need nothing special."""
    drain = getattr(app.state, "drain", None)
    if not isinstance(drain, Drain):
        drain = app.state.drain = Drain()
    return drain
