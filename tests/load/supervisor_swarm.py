"""Docker Swarm as the keeper of the backends, for comparison: the same image with the same limits, secrets and volumes
as a service whose addresses are in DNS (`dnsrr`), behind the same NGINX and the same stores. For supervisor_bench.py.

The swarm has one node, listens on loopback and is left at the end, also after a failure. Leaving has a price: the
engine's DNS no longer finds any container, running or new, until the engine is restarted (seen on Engine 20.10). So
this is measured last, says so, and is left out where anything else runs.
"""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.e2e.stack import eventually
from tests.load.supervisor_peers import REPLICAS, without_supervisor
from tests.load.supervisor_site import Site
from tests.load.supervisor_watch import inspect

SERVICE = "backend"
STORES = ("pgbouncer", "redis", "neo4j", "nginx")  # whom the backend calls, or who calls it
# What a careful operator of Swarm writes: prompt checks, the new one first, one by one, rolled back on failure.
CAREFUL = (
    "--health-interval=2s", "--health-timeout=2s", "--health-retries=3", "--health-start-period=30s",
    "--restart-delay=0s", "--update-order=start-first", "--update-parallelism=1", "--update-monitor=10s",
    "--update-failure-action=rollback", "--rollback-order=start-first",
)  # fmt: skip
OVER = ("completed", "paused", "rollback_completed", "rollback_paused")
UPDATE_SECONDS = 300.0
LATE_FAULT_SECONDS = 20.0  # what shows only after Swarm has called the update completed


class Swarm:
    name = "Swarm"
    labels: tuple[str, ...] = (f"com.docker.swarm.service.name={SERVICE}",)

    def __init__(self, site: Site) -> None:
        self._site = site
        self._stack = site.stack
        self._network = f"{site.stack.project}-swarm"
        self._image = f"modporter/backend:{site.stack.project}"

    def why_not(self) -> str:
        """Empty, or why it cannot be measured here."""
        state = self._stack.docker("info", "--format", "{{.Swarm.LocalNodeState}}")
        if state != "inactive":
            return f"this engine is a member of a swarm already ({state})"
        running = set(self._stack.docker("ps", "-q", "--no-trunc").split())
        if others := running - set(self._stack.compose("ps", "-q").split()):
            return f"{len(others)} containers that are not the stack's run here, and leaving a swarm takes their names"
        return ""

    @contextmanager
    def charge(self) -> Iterator[None]:
        template = inspect(self._stack, self._stack.containers("backend")[0])
        try:
            with without_supervisor(self._site):
                self._stack.compose("stop", "backend")
                try:
                    self._begin(template)
                    yield
                finally:
                    self._end()
                    self._stack.compose("start", "backend")
        finally:
            self._try("swarm", "leave", "--force")
            self._try("network", "rm", "docker_gwbridge")
            print("  the swarm was left: restart the engine, or its containers may not find each other", flush=True)

    def replicas(self) -> list[str]:
        return self._stack.docker("ps", "-q", "--no-trunc", "--filter", f"label={self.labels[0]}").split()

    def scale(self, replicas: int) -> None:
        self._stack.docker("service", "scale", "--detach", f"{SERVICE}={replicas}")
        eventually(lambda: self._is_calm(replicas), within_seconds=180)

    def roll_out(self, image: str) -> str:
        self._stack.docker("service", "update", "--detach", "--no-resolve-image", f"--image={image}", SERVICE)
        state = eventually(self._ended, within_seconds=UPDATE_SECONDS)
        time.sleep(LATE_FAULT_SECONDS)
        return state.replace("_", " ")

    def restore(self) -> None:
        image = "{{.Spec.TaskTemplate.ContainerSpec.Image}}"
        if self._stack.docker("service", "inspect", "-f", image, SERVICE) == self._image:
            return self.scale(REPLICAS)
        update = ("--detach", "--no-resolve-image", "--force", f"--replicas={REPLICAS}", f"--image={self._image}")
        self._stack.docker("service", "update", *update, SERVICE)
        eventually(self._ended, within_seconds=UPDATE_SECONDS)
        eventually(lambda: self._is_calm(REPLICAS), within_seconds=120)
        return None

    def _begin(self, template: dict[str, Any]) -> None:
        docker = self._stack.docker
        docker("swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1:2377")
        # Internal: so that no container gets another way out, and no other default route, by it.
        docker("network", "create", "--driver=overlay", "--attachable", "--internal", self._network)
        for service in STORES:
            docker("network", "connect", f"--alias={service}", self._network, self._stack.containers(service)[0])
        docker("service", "create", "--detach", *self._options(template), self._image)
        eventually(lambda: self._is_calm(REPLICAS), within_seconds=120)
        eventually(self._answers, within_seconds=60)

    def _options(self, template: dict[str, Any]) -> Iterator[str]:
        """A replica's settings, in Swarm's words."""
        config, host = template["Config"], template["HostConfig"]
        yield from ("--name", SERVICE, "--endpoint-mode=dnsrr", f"--network={self._network}", f"--replicas={REPLICAS}")
        yield from ("--no-resolve-image", f"--user={config['User']}", "--read-only", "--cap-drop=ALL")
        yield from (f"--limit-memory={host['Memory']}", f"--limit-cpu={host['NanoCpus'] / 1e9:g}")
        yield from (f"--limit-pids={host['PidsLimit']}", f"--stop-grace-period={config['StopTimeout']}s")
        yield f"--health-cmd={shlex.join(config['Healthcheck']['Test'][1:])}"
        yield from CAREFUL
        for entry in config["Env"]:
            yield f"--env={entry}"
        for mount in host["Mounts"]:
            read_only = ",readonly" if mount.get("ReadOnly") else ""
            yield f"--mount=type={mount['Type']},source={mount['Source']},target={mount['Target']}{read_only}"
        for target in host["Tmpfs"]:
            yield f"--mount=type=tmpfs,target={target},tmpfs-mode=1777,tmpfs-size=67108864"

    def _end(self) -> None:
        """Whatever there is of it goes; each step also when the one before has failed."""
        self._try("service", "rm", SERVICE)
        deadline = time.monotonic() + 90
        while self.replicas() and time.monotonic() < deadline:
            time.sleep(0.5)
        left = self._stack.docker("ps", "-aq", "--filter", f"label={self.labels[0]}").split()
        if left:
            self._try("rm", "--force", "--volumes", *left)
        for service in STORES:
            for container in self._stack.containers(service):
                self._try("network", "disconnect", "--force", self._network, container)
        self._try("network", "rm", self._network)

    @staticmethod
    def _try(*arguments: str) -> None:
        subprocess.run(["docker", *arguments], capture_output=True, check=False, timeout=120)

    def _ended(self) -> str:
        """How the newest update ended; empty while it goes on."""
        status = self._stack.docker(
            "service", "inspect", "-f", "{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}", SERVICE
        )
        return status if status in OVER else ""

    def _is_calm(self, replicas: int) -> bool:
        running = self.replicas()
        health = [self._stack.docker("inspect", "-f", "{{.State.Health.Status}}", replica) for replica in running]
        return health == ["healthy"] * replicas

    def _answers(self) -> bool:
        with self._stack.visitor() as visitor:
            return visitor.get("/health/ready").status_code == 200
