"""Real Postgres, pgBouncer, Redis and Neo4j in containers, from the project's own images and configuration files.

Used by conftest.py. Everything is named `mp-it-...`, labelled with the process that started it, published on 127.0.0.1
only, and removed at the end; what a killed run left is removed by the next one.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import docker
from docker.errors import NotFound
from docker.models.containers import Container
from docker.models.networks import Network

from tests.fixtures.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "mp-it-store"
OWNER_LABEL = "modporter.integration.pid"
START_SECONDS = 90


@dataclass(frozen=True, slots=True)
class Server:
    """A container that answers, and where it does so from the host."""

    container: Container
    port: int
    host: str = "127.0.0.1"


@dataclass(slots=True)
class Containers:
    """Starts containers on one private network and removes them again."""

    client: docker.DockerClient
    secrets: Path
    network: Network = field(init=False)
    started: list[Container] = field(default_factory=list)

    def __post_init__(self) -> None:
        remove_leftovers(self.client)
        self.network = self.client.networks.create(
            f"{PREFIX}-{os.getpid()}", driver="bridge", labels={OWNER_LABEL: str(os.getpid())}
        )

    def run(
        self,
        role: str,
        *,
        port: int,
        command: list[str] | None = None,
        environment: dict[str, str] | None = None,
        mounts: dict[Path, str] | None = None,
        shm_size: str | None = None,
    ) -> Server:
        """Start modporter/{role}:local; other containers of this run reach it by the name of its role."""
        # A chosen port stays the same when a test stops and starts the container; the engine's own choice would not.
        published = free_port()
        container = self.client.containers.create(
            f"modporter/{role}:local",
            command,
            name=f"{PREFIX}-{role}-{os.getpid()}",
            labels={OWNER_LABEL: str(os.getpid())},
            environment=environment or {},
            volumes={str(source): {"bind": target, "mode": "ro"} for source, target in (mounts or {}).items()},
            ports={f"{port}/tcp": ("127.0.0.1", published)},
            shm_size=shm_size,
        )
        self.started.append(container)
        self.network.connect(container, aliases=[role])
        container.start()
        return Server(container, published)

    def remove(self) -> None:
        for container in reversed(self.started):
            container.remove(force=True, v=True)
        self.network.remove()


def readable(folder: Path) -> Path:
    """The folder, which the containers' users may enter now: pytest makes it and up to three above for itself alone."""
    for path in (folder, *folder.parents[:3]):
        path.chmod(stat.S_IMODE(path.stat().st_mode) | 0o055)
    return folder


def remove_leftovers(client: docker.DockerClient) -> None:
    """Remove what runs left whose process is gone; another run at the same time keeps its own."""
    for container in client.containers.list(all=True, filters={"label": OWNER_LABEL}, ignore_removed=True):
        if not Path(f"/proc/{container.labels[OWNER_LABEL]}").exists():
            container.remove(force=True, v=True)
    for network in client.networks.list(filters={"label": OWNER_LABEL}):
        if not Path(f"/proc/{network.attrs['Labels'][OWNER_LABEL]}").exists():
            try:
                network.remove()
            except NotFound:
                continue


def wait_until(
    answers: Callable[[], object], server: Server, errors: type[Exception] | tuple[type[Exception], ...]
) -> None:
    """Return when `answers` no longer raises; fail with the container's last words when it does for too long."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            answers()
            return
        except errors as error:
            server.container.reload()
            if server.container.status == "exited" or time.monotonic() > deadline:
                raise AssertionError(server.container.logs(tail=30).decode(errors="replace")) from error
            time.sleep(0.2)
