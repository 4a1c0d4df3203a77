"""Two grounds that the same sentences about a container runtime are tested on: the small Docker of the component tests,
and a real engine with a Compose project made for it. So the small one cannot drift from the real one.

Used by test_supervisor_runtime.py. Each has a service `web` with two replicas that a daemon restarts, and `store`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import docker
from docker.errors import APIError, ImageNotFound

from supervisor.adapters.clock import SystemClock
from supervisor.adapters.docker_runtime import DockerRuntime, Engine
from supervisor.domain.snapshot import ContainerState, ReplicaView
from supervisor.ports import ContainerRuntime
from tests.fixtures.supervisor_fakes import FakeRuntime
from tests.fixtures.supervisor_world import FakeService, FakeWorld

PROJECT = "mp-it-citizens"
SOCKET = "/var/run/docker.sock"
BASE_IMAGE = "modporter/base:local"
OLD_IMAGE = f"modporter/{PROJECT}:{PROJECT}"  # the project's own tag, as a user's stack has it
NEW_IMAGE = f"modporter/{PROJECT}:two"

COMPOSE = f"""
name: {PROJECT}
services:
  web:
    image: {OLD_IMAGE}
    pull_policy: never
    command: [sh, -c, "echo it runs; trap 'exit 0' TERM; while :; do sleep 0.05; done"]
    restart: unless-stopped
    scale: 2
    cpus: 0.5
    mem_limit: 64m
    environment: {{COLOUR: green}}
    networks: [front, back]
    volumes: ["shared:/shared", "/own"]
    tmpfs: ["/tmp"]
    labels: {{supervisor.scale.max: "5"}}
    depends_on: [store]
    healthcheck: {{test: [CMD, "true"], interval: 1s}}
  store:
    image: {BASE_IMAGE}
    pull_policy: never
    command: [sleep, "3600"]
    init: true
    networks: [back]
  job:
    image: {OLD_IMAGE}
    pull_policy: never
    profiles: [job]
    command: ["true"]
    networks: [back]
networks: {{front: {{}}, back: {{}}}}
volumes: {{shared: {{}}}}
"""


class Ground(Protocol):
    """What the tests do to the world; what they expect is asked of `runtime`."""

    runtime: ContainerRuntime

    def crash(self, replica: ReplicaView) -> None:
        """Its process dies, and nobody meant it."""

    def stop(self, replica: ReplicaView) -> None:
        """A person stops it."""

    def vanish(self, replica: ReplicaView) -> None: ...

    def lose_engine(self) -> None: ...

    async def pass_time(self, seconds: float) -> None: ...


class FakeGround:
    def __init__(self) -> None:
        self.world = FakeWorld(PROJECT)
        for image in (BASE_IMAGE, OLD_IMAGE, NEW_IMAGE):
            self.world.add_image(image)
        labels = (("supervisor.scale.max", "5"),)
        web = FakeService(
            name="web", image=OLD_IMAGE, depends_on=("store",), networks=("front", "back"), cpus=0.5, labels=labels
        )
        self.world.up(FakeService(name="store", image=BASE_IMAGE, restart_policy="no"))
        self.world.up(web, replicas=2)
        self.runtime = FakeRuntime(self.world)

    def crash(self, replica: ReplicaView) -> None:
        self.world.kill(self.world.containers[replica.id])

    def stop(self, replica: ReplicaView) -> None:
        self.world.stop(self.world.containers[replica.id])

    def vanish(self, replica: ReplicaView) -> None:
        self.world.remove(self.world.containers[replica.id], is_forced=True)

    def lose_engine(self) -> None:
        self.runtime.is_away = True

    async def pass_time(self, seconds: float) -> None:
        self.world.advance(seconds)
        await asyncio.sleep(0)


class DockerGround:
    """`socket_path`: the engine's, or its gate's. What people do goes to the engine itself."""

    def __init__(self, folder: Path, socket_path: str) -> None:
        self.file = folder / "compose.yml"
        self.file.write_text(COMPOSE)
        self.engine = docker.APIClient(base_url=f"unix://{SOCKET}", version="1.41", timeout=20)
        self.runtime = DockerRuntime(Engine(socket_path=socket_path, project=PROJECT), SystemClock())
        self.deaf: socket.socket | None = None

    def compose(self, *arguments: str) -> str:
        """Both streams: a dry run tells what it would do on the second."""
        # By its name: COMPOSE_PROJECT_NAME of the stack under test would come before the file's.
        command = ["docker", "compose", "-p", PROJECT, "-f", str(self.file), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def containers(self) -> list[dict[str, object]]:
        filters = {"label": f"com.docker.compose.project={PROJECT}"}
        return list(self.engine.containers(all=True, filters=filters))

    def clear(self) -> None:
        for container in self.containers():
            with contextlib.suppress(APIError):  # removed by what the test did last
                self.engine.remove_container(container["Id"], v=True, force=True)

    def renew(self) -> None:
        """The project freshly up: made again, unless the test before only looked at it."""
        mark = self.file.with_name("fresh.json")
        if not mark.exists() or mark.read_text() != self._state():
            self.clear()
            self.compose("up", "-d")
            mark.write_text(self._state())

    def _state(self) -> str:
        """Which containers there are, and what happened to each: a stop, a start and a crash all leave a trace."""
        seen = [self.engine.inspect_container(container["Id"]) for container in self.containers()]
        keys = ("Running", "StartedAt", "FinishedAt")
        traces = ([one["Id"], one["RestartCount"], *(one["State"][key] for key in keys)] for one in seen)
        return json.dumps(sorted(traces))

    def crash(self, replica: ReplicaView) -> None:
        """From inside, where nothing but the process itself can end it: a kill over the API is a person's."""
        process = int(self.engine.inspect_container(replica.id)["State"]["Pid"])
        subprocess.run(["kill", "-9", str(process)], check=True, timeout=5)

    def stop(self, replica: ReplicaView) -> None:
        self.engine.stop(replica.id, timeout=2)

    def vanish(self, replica: ReplicaView) -> None:
        self.engine.remove_container(replica.id, v=True, force=True)

    def lose_engine(self) -> None:
        """One that takes connections and never answers."""
        self.runtime.close()
        path = self.file.parent / "deaf.sock"
        path.unlink(missing_ok=True)
        self.deaf = socket.socket(socket.AF_UNIX)
        self.deaf.bind(str(path))
        self.deaf.listen()
        engine = Engine(socket_path=str(path), project=PROJECT, timeout_seconds=0.5)
        self.runtime = DockerRuntime(engine, SystemClock())

    async def pass_time(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def close(self) -> None:
        if self.deaf is not None:
            self.deaf.close()
        self.runtime.close()
        self.engine.close()


@contextlib.contextmanager
def scratch_images() -> Iterator[None]:
    """Two images of one repository that differ in what they bring along."""
    client = docker.APIClient(base_url=f"unix://{SOCKET}", version="1.41", timeout=60)
    made = client.create_container(BASE_IMAGE, ["true"], name=f"{PROJECT}-image")["Id"]
    try:
        for reference, colour in ((OLD_IMAGE, "old"), (NEW_IMAGE, "new")):
            repository, _, tag = reference.partition(":")
            client.commit(made, repository, tag, conf={"Env": [f"FLAVOUR={colour}"], "Labels": {"flavour": colour}})
        yield
    finally:
        client.remove_container(made)
        for reference in (OLD_IMAGE, NEW_IMAGE):
            with contextlib.suppress(ImageNotFound):
                client.remove_image(reference, force=True)
        client.close()


async def web(ground: Ground) -> tuple[ReplicaView, ...]:
    return (await ground.runtime.services())["web"].replicas


async def eventually(
    ground: Ground, holds: Callable[[tuple[ReplicaView, ...]], bool], seconds: float = 10.0
) -> tuple[ReplicaView, ...]:
    """The replicas of `web` as soon as it holds; fails with them when it does not in time."""
    for _ in range(int(seconds / 0.1)):
        replicas = await web(ground)
        if holds(replicas):
            return replicas
        await ground.pass_time(0.1)
    raise AssertionError(f"still after {seconds:g} s: {replicas}")


def is_running(replica: ReplicaView) -> bool:
    return replica.state is ContainerState.RUNNING
