"""A runtime that reads and does nothing: what would be done is noted and reported as done. Wraps the real one for
`supervisor plan`, so that a plan goes the way of production."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

import structlog

from supervisor.domain.snapshot import ReplicaView, ServiceView, UsageView
from supervisor.ports import ContainerRuntime, ImageView

log = structlog.get_logger(__name__)


class DryRunRuntime:
    def __init__(self, runtime: ContainerRuntime) -> None:
        self._runtime = runtime
        self.noted: list[str] = []  # what would have been done, in order

    async def services(self) -> Mapping[str, ServiceView]:
        return await self._runtime.services()

    async def usage(self, replicas: Sequence[ReplicaView]) -> Mapping[str, UsageView]:
        return await self._runtime.usage(replicas)

    async def image(self, reference: str) -> ImageView:
        return await self._runtime.image(reference)

    async def log_tail(self, replica_id: str, lines: int) -> str:
        return await self._runtime.log_tail(replica_id, lines)

    def events(self) -> AsyncIterator[str]:
        return self._runtime.events()

    async def start_replica(self, template_id: str, *, number: int, image: str, cause: str) -> str:
        of = f" of {image}" if image else ""
        self._note(f"start replica {number} like {template_id[:12]}{of}", cause)
        return f"dry-run-{template_id[:12]}-{number}"

    async def start_stopped(self, replica_id: str, *, cause: str) -> None:
        self._note(f"start {replica_id[:12]} again", cause)

    async def signal(self, replica_id: str, signal: str, *, cause: str) -> None:
        self._note(f"send {signal} to {replica_id[:12]}", cause)

    async def remove(self, replica_id: str, *, cause: str) -> None:
        self._note(f"remove {replica_id[:12]}", cause)

    async def tag_image(self, image_id: str, reference: str, *, cause: str) -> None:
        self._note(f"let {reference} be {image_id[:19]}", cause)

    def _note(self, what: str, cause: str) -> None:
        self.noted.append(what)
        log.info("dry_run", action=what, cause=cause)
