"""Says that something happened to a container of the project, so that the loop looks before its time. Used by
docker_runtime.

The daemon keeps 256 events for a listener and drops the rest of a flood, a restart of the daemon loses what happens
meanwhile, and each health check would add three. So an event is only a reason to look: the filter is on the server, a
thread reads as fast as it can and keeps a set of names (never a queue), and after each reconnect everything is stale.

What only events tell is kept as a hint for people: the exit code and the lack of memory behind a crash that the daemon
healed itself within 100 ms.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests
import structlog
from docker.errors import DockerException  # type: ignore[import-untyped]
from urllib3.exceptions import HTTPError

from supervisor.adapters.docker_client import DockerClient

EVENTS = (
    "create",
    "start",
    "die",
    "kill",
    "stop",
    "oom",
    "health_status",
    "pause",
    "unpause",
    "destroy",
)
RECONNECT_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)
GAP_SECONDS = 0.02  # what comes within it is one wake-up
MAX_NAMED = 500  # containers; more than that at once means: look at all
SERVICE_LABEL = "com.docker.compose.service"
# AttributeError: the SDK's stream, closed from another thread, finds no file to read from.
BROKEN = (DockerException, requests.RequestException, HTTPError, OSError, ValueError, AttributeError)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a container ended last, as its events said."""

    exit_code: int | None = None
    is_oom_killed: bool = False


@dataclass(slots=True)
class Dirty:
    """What was named since it was last taken. `is_everything`: events may have been lost."""

    services: set[str] = field(default_factory=set)
    containers: set[str] = field(default_factory=set)
    is_everything: bool = False


class DockerEvents:
    def __init__(self, socket_path: str, project: str, timeout_seconds: float) -> None:
        self._socket_path = socket_path
        self._timeout_seconds = timeout_seconds
        self._filters = {
            "type": "container",
            "event": list(EVENTS),
            "label": [f"com.docker.compose.project={project}"],
        }
        self._lock = threading.Lock()
        self._dirty = Dirty()
        self._endings: dict[str, Ending] = {}
        self._closed = threading.Event()
        self._wake: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stream: Any = None

    async def names(self) -> AsyncIterator[str]:
        """Yields names of services, or an empty string: anything may have happened. One reader; never ends."""
        if self._loop is None:
            self._loop, self._wake = asyncio.get_running_loop(), asyncio.Event()
            threading.Thread(target=self._read, name="docker-events", daemon=True).start()
        assert self._wake is not None  # noqa: S101 - set with the loop
        while True:
            await self._wake.wait()
            self._wake.clear()
            with self._lock:
                names, self._dirty.services = self._dirty.services, set()
            for name in sorted(names):
                yield name
            await asyncio.sleep(GAP_SECONDS)

    def take_containers(self) -> frozenset[str] | None:
        """The ids named since the last call; None: look at all of them."""
        with self._lock:
            ids, is_everything = self._dirty.containers, self._dirty.is_everything
            self._dirty.containers, self._dirty.is_everything = set(), False
        return None if is_everything else frozenset(ids)

    def ending(self, container_id: str) -> Ending | None:
        return self._endings.get(container_id)

    def close(self) -> None:
        self._closed.set()
        self._disconnect()

    def _read(self) -> None:
        attempt = 0
        while not self._closed.is_set():
            try:
                for event in self._connect():
                    attempt = 0
                    self._note(event)
            except (
                DockerException,
                requests.RequestException,
                HTTPError,
                OSError,
                ValueError,
                AttributeError,
            ) as error:
                # AttributeError: the SDK's stream, closed from another thread, finds no file to read from.
                log.debug("docker_events_broken", error=str(error))
            self._disconnect()
            self._closed.wait(RECONNECT_SECONDS[min(attempt, len(RECONNECT_SECONDS) - 1)])
            attempt += 1

    def _connect(self) -> Any:
        client = DockerClient(self._socket_path, self._timeout_seconds)
        events = client.events(filters=self._filters, decode=True)
        self._stream = (client, events)
        if self._closed.is_set():  # while it connected: nobody else ends this stream
            self._disconnect()
        # Whatever happened before this moment was not heard.
        self._mark("", None)
        return events

    def _disconnect(self) -> None:
        stream, self._stream = self._stream, None
        if stream is None:
            return
        client, events = stream
        try:
            events.close()
        except (DockerException, OSError, AttributeError) as error:
            log.debug("docker_events_not_closed", error=str(error))
        client.close()

    def _note(self, event: Mapping[str, Any]) -> None:
        actor = event.get("Actor") or {}
        attributes = actor.get("Attributes") or {}
        container_id = actor.get("ID", "")
        match event.get("Action"):
            case "oom":
                self._endings[container_id] = Ending(is_oom_killed=True)
            case "die":
                before = self._endings.get(container_id)
                code = attributes.get("exitCode", "")
                self._endings[container_id] = Ending(
                    exit_code=int(code) if code.lstrip("-").isdigit() else None,
                    is_oom_killed=before is not None and before.is_oom_killed and before.exit_code is None,
                )
            case "destroy":
                self._endings.pop(container_id, None)
        self._mark(attributes.get(SERVICE_LABEL, ""), container_id)

    def _mark(self, service: str, container_id: str | None) -> None:
        with self._lock:
            is_first = not self._dirty.services
            self._dirty.services.add(service)
            if container_id is None or len(self._dirty.containers) >= MAX_NAMED:
                self._dirty.is_everything = True
                self._dirty.containers.clear()
            elif not self._dirty.is_everything:
                self._dirty.containers.add(container_id)
        if is_first and self._loop is not None and self._wake is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)
