"""Who looks after the backends: the supervisor, or what a user has without it. Each does the same things its own way,
so that the same faults can be measured under all of them. Used by supervisor_bench.py; Swarm is in supervisor_swarm.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from tests.e2e.stack import eventually
from tests.load.findings import SUPERVISOR
from tests.load.supervisor_site import Site

REPLICAS = 3
BAD_IMAGE_SECONDS = 20.0  # how long a bad image is watched where nobody takes it back
# The load comes from the same machine, so that its CPU is never below the bound to which the supervisor adds replicas.
ROOM = {"scale": {"host_cpu_ratio": 1.0}}
BACK_QUICKLY = {"rollout": {"canary_weights": [100], "step_seconds": 1, "step_max_seconds": 2, "bake_seconds": 1}}


def compose_labels(project: str, service: str) -> tuple[str, ...]:
    return f"com.docker.compose.project={project}", f"com.docker.compose.service={service}"


class Keeper(Protocol):
    """`labels` are on the containers of all replicas and on no others."""

    name: str
    labels: tuple[str, ...]

    def charge(self) -> AbstractContextManager[None]:
        """Inside, and only there, it looks after the backends. Begins and ends with three good ones."""

    def replicas(self) -> list[str]:
        """Full ids of the running ones."""

    def scale(self, replicas: int) -> None:
        """Returns when it is done."""

    def roll_out(self, image: str) -> str:
        """Returns when it is over, one way or the other: what came of it, in a few words."""

    def restore(self) -> None:
        """Three good replicas of the image of before."""


class Supervised:
    """The stack as it is."""

    name = SUPERVISOR

    def __init__(self, site: Site) -> None:
        self._site = site
        self.labels = compose_labels(site.stack.project, "backend")
        self._tag = f"modporter/backend:{site.stack.project}"
        self._image = site.stack.docker("image", "inspect", "-f", "{{.Id}}", self._tag)

    @contextmanager
    def charge(self) -> Iterator[None]:
        eventually(self._site.supervisor.is_ready, within_seconds=60)
        with self._site.supervisor.policies({"services": {"backend": ROOM}}):
            self.restore()
            try:
                yield
            finally:
                self.restore()

    def replicas(self) -> list[str]:
        return self._site.stack.containers("backend")

    def scale(self, replicas: int) -> None:
        self._site.supervisor.settle("backend", replicas)

    def roll_out(self, image: str) -> str:
        record = self._site.supervisor.roll_out("backend", image, within_seconds=600)
        return f"{record['phase'].replace('_', ' ')}: {record['verdict']}".removesuffix(": ")

    def restore(self) -> None:
        supervisor, stack = self._site.supervisor, self._site.stack
        if stack.docker("image", "inspect", "-f", "{{.Id}}", self._tag) != self._image:
            original = f"modporter/backend:{stack.project}-original"
            stack.docker("tag", self._image, original)
            with supervisor.policies({"services": {"backend": BACK_QUICKLY}}):
                record = supervisor.roll_out("backend", original, within_seconds=300)
            assert record["phase"] == "done", record
        supervisor.post("/api/services/backend/resume")  # ends quarantines and pauses
        supervisor.settle("backend", REPLICAS)


class RestartAlways:
    """The daemon's restart policy and Compose, nothing else: NGINX asks Docker's DNS."""

    name = "restart: always"

    def __init__(self, site: Site) -> None:
        self._site = site
        self._stack = site.stack
        self.labels = compose_labels(site.stack.project, "backend")
        self._tag = f"modporter/backend:{site.stack.project}"
        self._image = site.stack.docker("image", "inspect", "-f", "{{.Id}}", self._tag)

    @contextmanager
    def charge(self) -> Iterator[None]:
        with without_supervisor(self._site):
            try:
                yield
            finally:
                self.restore()

    def replicas(self) -> list[str]:
        return self._stack.containers("backend")

    def scale(self, replicas: int) -> None:
        self._up(replicas)
        eventually(lambda: self._stack.is_healthy("backend"), within_seconds=120)

    def roll_out(self, image: str) -> str:
        self._stack.docker("tag", image, self._tag)
        self._up(REPLICAS)
        healthy = sum(self._health(replica) == "healthy" for replica in self.replicas())
        time.sleep(BAD_IMAGE_SECONDS)
        return f"all replaced, nothing taken back; {healthy} of {REPLICAS} healthy when Compose had ended"

    def restore(self) -> None:
        self._stack.docker("tag", self._image, self._tag)
        self._up(REPLICAS)
        eventually(lambda: self._stack.is_healthy("backend"), within_seconds=120)

    def _health(self, replica: str) -> str:
        return self._stack.docker("inspect", "-f", "{{.State.Health.Status}}", replica)

    def _up(self, replicas: int) -> None:
        self._stack.compose("up", "-d", "--no-deps", "--no-build", f"--scale=backend={replicas}", "backend")


@contextmanager
def without_supervisor(site: Site) -> Iterator[None]:
    """Inside, the supervisor is stopped and NGINX has no lists; afterwards it works again."""
    stack = site.stack
    nginx = stack.containers("nginx")[0]
    stack.compose("stop", "supervisor")
    try:
        # By the one who may write there: a container of the supervisor's image with its volumes.
        supervisor = stack.compose("ps", "-aq", "supervisor").strip()
        image = stack.docker("inspect", "-f", "{{.Image}}", supervisor)
        remove = ["sh", "-c", "rm -f /var/lib/supervisor/upstreams/*.servers"]
        stack.docker("run", "--rm", "--network=none", "--volumes-from", supervisor, image, *remove)
        stack.docker("kill", "--signal=HUP", nginx)
        time.sleep(2)
        yield
    finally:
        stack.compose("start", "supervisor")
        eventually(site.supervisor.is_ready, within_seconds=90)
