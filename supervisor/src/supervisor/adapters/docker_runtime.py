"""The project's containers on a Docker engine: ports.ContainerRuntime over the SDK. Built by bootstrap.

A cycle costs one list. A container is inspected again when the list says that it changed, when an event named it, and
in turn every INSPECT_SECONDS, because an event may be lost and the list does not tell everything. Containers of
`docker compose run` are not seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from supervisor.adapters.docker_client import Conflict, DockerCalls, Missing, sanitised
from supervisor.adapters.docker_clone import PROJECT_LABEL
from supervisor.adapters.docker_events import DockerEvents
from supervisor.adapters.docker_guard_book import book_of
from supervisor.adapters.docker_start import start_replica
from supervisor.adapters.docker_stats import DockerStats
from supervisor.adapters.docker_views import (
    Details,
    Entry,
    details_of,
    is_changed,
    is_replica,
    replica_of,
    services_of,
)
from supervisor.domain.snapshot import ReplicaView, ServiceView, UsageView
from supervisor.ports import Clock, GuardBook, ImageView, Unavailable

INSPECT_SECONDS = 30.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Where the engine is. `is_preferred(service)`: its usage is read more often (services that scale)."""

    socket_path: str
    project: str
    timeout_seconds: float = 10.0
    is_preferred: Callable[[str], bool] = lambda service: False


class DockerRuntime:
    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._project = engine.project
        self._clock = clock
        self._calls = DockerCalls(engine.socket_path, engine.timeout_seconds)
        self._events = DockerEvents(engine.socket_path, engine.project, engine.timeout_seconds)
        self._stats = DockerStats(engine.socket_path, clock, self._cpu_limit, engine.is_preferred)
        self._entries: dict[str, Entry] = {}
        self._details: dict[str, Details] = {}
        self._is_lost = False
        self._services: Mapping[str, ServiceView] = {}
        self._reading: asyncio.Task[Mapping[str, ServiceView]] | None = None

    # -- reading -----------------------------------------------------------------------------------------------------

    async def services(self) -> Mapping[str, ServiceView]:
        if self._reading is not None and not self._reading.done():
            # A call that the cycle before gave up on: wait for its end, or calls pile up on a slow engine.
            await asyncio.wait([self._reading])
        self._reading = asyncio.create_task(self._read())
        return await asyncio.shield(self._reading)

    @property
    def seen(self) -> Mapping[str, ServiceView]:
        """What services() gave last; empty before."""
        return self._services

    async def _read(self) -> Mapping[str, ServiceView]:
        named = self._events.take_containers()
        if self._is_lost:
            named = None
        filters = {"label": f"{PROJECT_LABEL}={self._project}"}
        self._is_lost = True  # until it is read: names that were taken in vain must not be forgotten
        listed = await self._calls.read(lambda client: client.containers(all=True, filters=filters))
        self._is_lost = False
        entries: dict[str, Entry] = {entry["Id"]: entry for entry in listed if is_replica(entry)}
        due = self._due(entries, named)
        answers = await asyncio.gather(*(self._inspect(entries[i]) for i in due), return_exceptions=True)
        gone = set()
        for container_id, answer in zip(due, answers, strict=True):
            if isinstance(answer, Details):
                self._details[container_id] = answer
            elif isinstance(answer, Missing):
                gone.add(container_id)
            elif isinstance(answer, Unavailable):
                # One container on which the daemon hangs must not hide the others: what is known of it stays.
                log.warning("docker_inspect_failed", container=container_id[:12], error=str(answer))
            elif isinstance(answer, BaseException):
                raise answer
        self._entries = {i: entry for i, entry in entries.items() if i not in gone}
        self._details = {i: details for i, details in self._details.items() if i in self._entries}
        replicas = {
            i: replica_of(entry, self._details.get(i), self._events.ending(i)) for i, entry in self._entries.items()
        }
        self._services = services_of(self._entries.values(), replicas)
        return self._services

    def _due(self, entries: Mapping[str, Entry], named: frozenset[str] | None) -> list[str]:
        """Changed or named, and of the others in turn those whose inspection is old."""
        due, others = [], []
        now = self._clock.now()
        for container_id, entry in entries.items():
            details = self._details.get(container_id)
            if is_changed(entry, self._entries.get(container_id), details) or named is None or container_id in named:
                due.append(container_id)
            elif details is not None and now - details.inspected_at >= INSPECT_SECONDS:
                others.append((details.inspected_at, container_id))
        others.sort()
        # A share a cycle, so that containers that were all new at once do not stay in step.
        return due + [container_id for _, container_id in others[: 1 + len(entries) // 10]]

    async def _inspect(self, entry: Entry) -> Details:
        container_id = entry["Id"]
        inspection = await self._calls.read(lambda client: client.inspect_container(container_id))
        return details_of(inspection, entry, self._clock.now())

    async def usage(self, replicas: Sequence[ReplicaView]) -> Mapping[str, UsageView]:
        """What the batches of one-shot statistics brought so far (docker_stats); the first comes after a second."""
        return self._stats.usage(replicas)

    def _cpu_limit(self, container_id: str) -> float | None:
        details = self._details.get(container_id)
        return details.cpu_limit if details else None

    async def image(self, reference: str) -> ImageView:
        found = await self._calls.read(lambda client: client.inspect_image(reference))
        return ImageView(reference=reference, id=found["Id"])

    async def log_tail(self, replica_id: str, lines: int) -> str:
        raw = await self._calls.read(lambda client: client.logs(replica_id, tail=lines))
        return bytes(raw).decode(errors="replace")

    async def book(self, after: int) -> GuardBook:
        """docker-guard's audit: ports.GuardAudit."""
        answer = await self._calls.read(lambda client: client.guard_audit(after))
        return book_of(answer, self._project)

    def events(self) -> AsyncIterator[str]:
        return self._events.names()

    # -- acting ------------------------------------------------------------------------------------------------------

    async def start_replica(self, template_id: str, *, number: int, image: str, cause: str) -> str:
        return await self._calls.write(
            lambda client: start_replica(client, template_id, number=number, image=image, cause=sanitised(cause)), cause
        )

    async def start_stopped(self, replica_id: str, *, cause: str) -> None:
        await self._calls.write(lambda client: client.start(replica_id), cause)

    async def signal(self, replica_id: str, signal: str, *, cause: str) -> None:
        await self._calls.write(lambda client: client.kill(replica_id, signal=signal), cause)

    async def remove(self, replica_id: str, *, cause: str) -> None:
        try:
            await self._calls.write(lambda client: client.remove_container(replica_id, v=True), cause)
        except Missing:
            return
        except Conflict as error:
            if "already in progress" not in str(error):
                raise

    async def tag_image(self, image_id: str, reference: str, *, cause: str) -> None:
        repository, _, tag = reference.rpartition(":")
        await self._calls.write(lambda client: client.tag(image_id, repository, tag), cause)

    def close(self) -> None:
        self._events.close()
        self._stats.close()
        self._calls.close()
