"""What a replica has in hand: the supervisor lets it leave when there is nothing left. Told by /health/load.

Filled by the server (connections), the telemetry (requests) and, where a service works on more than requests, by itself
(jobs).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from fastapi import FastAPI


class Load:
    """Counts of this moment."""

    def __init__(self) -> None:
        self.requests = 0  # being answered, those of operators (/health, /metrics) and streams not counted
        self.streams = 0  # of events, whose answers have begun: they end when the replica says so, not by themselves
        self.jobs: Callable[[], int] = int
        self.connections: Callable[[], Iterable[Any]] = tuple  # uvicorn's protocol objects

    def connections_by_peer(self) -> dict[str, int]:
        """Open connections, idle ones too, by the address at their other end."""
        peers = (connection.transport.get_extra_info("peername") for connection in self.connections())
        return dict(Counter(peer[0] for peer in peers if peer))


def load_of(app: FastAPI) -> Load:
    """The load of an application, made on first use so that tests without a server need nothing special."""
    load = getattr(app.state, "load", None)
    if not isinstance(load, Load):
        load = app.state.load = Load()
    return load
