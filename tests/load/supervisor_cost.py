"""Measure 6: what the supervisor and docker-guard cost with 10, 50, 100 and 200 containers, which only sleep, in a
Compose project made for it; and what the ones of the running stack cost.

The supervisor follows all of them, statistics included, and has nothing to do. It is the stack's own image, with a
docker-guard of its own.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.e2e.stack import eventually
from tests.load.findings import Finding
from tests.load.supervisor_site import Site
from tests.load.supervisor_watch import addresses, inspect

SIZES = (10, 50, 100, 200)
TARGET_SIZE = 100
WARM_SECONDS, MEASURED_SECONDS = 30.0, 60.0
PORT = 8090

LARGEST_SERVICE = 100  # a policy's max is no more
POLICY = "  {service}: {{scale: {{enabled: true, min: {size}, max: {size}, metrics: {{cpu: {{target: 0.6}}}}}}}}\n"
COMPOSE = """
name: {project}
x-sleeper: &sleeper
  image: {image}
  pull_policy: never
  entrypoint: [sleep, infinity]
  stop_signal: SIGKILL
  restart: unless-stopped
  mem_limit: 32m
  networks: [web]
services:
  web: *sleeper
  more: *sleeper
networks: {{web: {{}}}}
"""


@dataclass(frozen=True)
class Used:
    """Of one process and its children, over a time."""

    cpu_ratio: float  # of one core
    megabytes: float  # resident, at the end
    own_megabytes: float  # of that, without what is read from files (libraries), which others may share

    def __str__(self) -> str:
        return f"{self.cpu_ratio:.2%} of a core, {self.megabytes:.0f} MB ({self.own_megabytes:.0f} without files)"


def cost(site: Site) -> list[Finding]:
    """Each size with a supervisor and a docker-guard that have just been started; then the running stack's."""
    findings = []
    with _Sleepers(site).running() as sleepers:
        for size in SIZES:
            sleepers.be(size)
            with sleepers.supervised(size):
                time.sleep(WARM_SECONDS)
                supervisor, guard, cycle = sleepers.measured(size)
            is_target = size == TARGET_SIZE
            findings += [
                Finding(f"{size} containers: supervisor", str(supervisor), "< 2 %, < 80 MB" if is_target else ""),
                Finding(f"{size} containers: docker-guard", str(guard), "< 2 %, < 50 MB" if is_target else ""),
                Finding(f"{size} containers: a cycle takes", f"{1000 * cycle:.1f} ms"),
            ]
            print(f"  {size} containers: supervisor {supervisor}; docker-guard {guard}", flush=True)
    pids = {name: site.stack.pid(site.stack.containers(name)[0]) for name in ("supervisor", "docker-guard")}
    used = _used_by(pids, MEASURED_SECONDS)
    count = len(site.stack.compose("ps", "-q").split())
    name = f"the running stack ({count} containers, with probes, NGINX and Prometheus)"
    return findings + [Finding(f"{name}: {service}", str(value)) for service, value in used.items()]


class _Sleepers:
    """The scratch project: containers that sleep, and those who look after them."""

    def __init__(self, site: Site) -> None:
        self._stack = site.stack
        self._project = f"{site.stack.project}-cost"
        self._folder = site.work / "cost"
        self._token = secrets.token_urlsafe(32)
        self._password_hash = site.supervisor.secret("supervisor_password_hash")
        self._guard, self._supervisor = f"{self._project}-guard", f"{self._project}-supervisor"

    @contextmanager
    def running(self) -> Iterator[_Sleepers]:
        self._folder.mkdir()
        self._folder.chmod(0o755)
        image = f"modporter/docker-guard:{self._stack.project}"
        (self._folder / "compose.yml").write_text(COMPOSE.format(project=self._project, image=image))
        try:
            yield self
        finally:
            self._compose("down", "--timeout", "1", "--remove-orphans")

    def be(self, size: int) -> None:
        sizes = {"web": 0, "more": 0, **_services(size)}
        self._compose("up", "--detach", *(f"--scale={service}={count}" for service, count in sizes.items()))

    @contextmanager
    def supervised(self, size: int) -> Iterator[None]:
        policies = self._folder / "policies.yml"
        lines = (POLICY.format(service=service, size=count) for service, count in _services(size).items())
        policies.write_text("services:\n" + "".join(lines))
        policies.chmod(0o644)
        try:
            self._start_guard()
            self._start_supervisor()
            eventually(lambda: self._get("/readyz").status_code == 200, within_seconds=60)
            yield
        finally:
            subprocess.run(
                ["docker", "rm", "--force", "--volumes", self._supervisor, self._guard],
                capture_output=True, check=False, timeout=60,
            )  # fmt: skip
            subprocess.run(["docker", "volume", "rm", self._guard], capture_output=True, check=False, timeout=60)

    def measured(self, size: int) -> tuple[Used, Used, float]:
        """Supervisor, docker-guard, and the mean seconds of a cycle."""
        for service, count in _services(size).items():
            told = self._get(f"/api/services/{service}").raise_for_status().json()
            assert told["ready"] == told["desired"] == count, f"it does not see what runs: {told['sentence']}"
        pids = {name: self._stack.pid(name) for name in (self._supervisor, self._guard)}
        before = self._cycles()
        used = _used_by(pids, MEASURED_SECONDS)
        after = self._cycles()
        return used[self._supervisor], used[self._guard], (after[0] - before[0]) / (after[1] - before[1])

    def _start_guard(self) -> None:
        socket = self._stack.variable("DOCKER_SOCKET")
        self._stack.docker(
            "run", "--detach", f"--name={self._guard}", "--network=none", "--read-only", "--cap-drop=ALL",
            f"--group-add={Path(socket).stat().st_gid}", f"--env=PROJECT={self._project}",
            f"--volume={socket}:/var/run/docker.sock", f"--volume={self._guard}:/run/docker-guard",
            "--volume=/run/docker-guard-read", f"modporter/docker-guard:{self._stack.project}",
        )  # fmt: skip

    def _start_supervisor(self) -> None:
        environment = {
            "PROJECT": self._project,
            "SUPERVISOR_API_TOKEN": self._token,
            "SUPERVISOR_PASSWORD_HASH": self._password_hash,
            "SUPERVISOR_SESSION_KEY": secrets.token_urlsafe(32),
        }
        self._stack.docker(
            "run", "--detach", f"--name={self._supervisor}", f"--network={self._project}_web", "--read-only",
            "--cap-drop=ALL", "--cpus=1", *(f"--env={name}={value}" for name, value in environment.items()),
            "--tmpfs=/tmp:mode=1777,size=16m", f"--volume={self._folder}:/etc/supervisor:ro",
            f"--volume={self._guard}:/run/docker-guard:ro", "--volume=/var/lib/supervisor/data",
            "--volume=/var/lib/supervisor/upstreams", f"modporter/supervisor:{self._stack.project}",
        )  # fmt: skip

    def _get(self, path: str) -> httpx.Response:
        found = addresses(inspect(self._stack, self._supervisor))
        assert found, "the supervisor of the sleeping containers has ended"
        headers = {"Authorization": f"Bearer {self._token}"}
        return httpx.get(f"http://{found[0]}:{PORT}{path}", headers=headers, timeout=10)

    def _cycles(self) -> tuple[float, float]:
        """Seconds of all cycles so far, and how many they were."""
        lines = self._get("/metrics").text.splitlines()
        values = dict(line.rsplit(" ", 1) for line in lines if line.startswith("supervisor_cycle_seconds_"))
        return float(values["supervisor_cycle_seconds_sum"]), float(values["supervisor_cycle_seconds_count"])

    def _compose(self, *arguments: str) -> None:
        command = ["docker", "compose", "--file", str(self._folder / "compose.yml"), *arguments]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COMPOSE_")}
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=600, env=environment, cwd=self._folder, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]


def _services(size: int) -> dict[str, int]:
    """How many of which service make so many containers."""
    sizes = {"web": min(size, LARGEST_SERVICE), "more": size - LARGEST_SERVICE}
    return {service: count for service, count in sizes.items() if count > 0}


def _used_by(pids: dict[str, int], seconds: float) -> dict[str, Used]:
    before = {name: _cpu_seconds(pid) for name, pid in pids.items()}
    began = time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    return {
        name: Used((_cpu_seconds(pid) - before[name]) / took, _megabytes(pid, "VmRSS"), _megabytes(pid, "RssAnon"))
        for name, pid in pids.items()
    }


def _family(pid: int) -> Iterator[int]:
    yield pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield from _family(int(child))


def _cpu_seconds(pid: int) -> float:
    ticks = 0
    for each in _family(pid):
        # The name of the program, in brackets, may hold blanks.
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def _megabytes(pid: int, field: str) -> float:
    kibibytes = 0
    for each in _family(pid):
        status = dict(line.split(":", 1) for line in Path(f"/proc/{each}/status").read_text().splitlines())
        kibibytes += int(status[field].split()[0])
    return kibibytes * 1024 / 1e6
