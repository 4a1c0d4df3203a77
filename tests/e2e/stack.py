"""The running stack as the scenarios see it: HTTPS through NGINX, the Compose command, and the stores for counting.

Everything is addressed by the Compose project that `make test` started; no other project is ever touched.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx

ROOT = Path(__file__).resolve().parents[2]
T = TypeVar("T")


def eventually(question: Callable[[], T], *, within_seconds: float = 30.0, every_seconds: float = 0.25) -> T:
    """The first true answer to a question; AssertionErrors and transport errors count as "not yet"."""
    deadline = time.monotonic() + within_seconds
    while True:
        failure: Exception | None = None
        try:
            if answer := question():
                return answer
        except (AssertionError, httpx.TransportError) as error:
            failure = error
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_seconds} s: {failure or question}") from failure
        time.sleep(every_seconds)


@dataclass(frozen=True)
class Stack:
    base_url: str
    ca_file: Path
    project: str
    env_file: Path

    @classmethod
    def from_environment(cls) -> Stack | None:
        """The stack that `make test` started, or None where there is none."""
        names = ("BASE_URL", "CA", "PROJECT", "ENV_FILE")
        values = [os.environ.get(f"MODPORTER_TEST_{name}", "") for name in names]
        return cls(values[0], Path(values[1]), values[2], Path(values[3])) if all(values) else None

    # --- through the front door -------------------------------------------------------------------------------------
    def tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca_file))

    def visitor(self, **options: Any) -> httpx.Client:
        """A client with cookies of its own: one person with one browser."""
        return httpx.Client(base_url=self.base_url, verify=self.tls(), timeout=30, **options)

    # --- through Compose --------------------------------------------------------------------------------------------
    def compose(self, *arguments: str, check: bool = True, timeout_seconds: float = 180) -> str:
        command = ["docker", "compose", "--env-file", str(self.env_file), "-p", self.project, *arguments]
        environment = {**os.environ, "COMPOSE_FILE": self.variable("COMPOSE_FILE")}
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=timeout_seconds, env=environment, check=False
        )
        assert not check or done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def variable(self, name: str) -> str:
        for line in self.env_file.read_text().splitlines():
            if line.startswith(f"{name}="):
                return line.split("=", 1)[1].strip().strip('"')
        raise KeyError(name)

    def scale(self, **replicas: int) -> None:
        """`docker compose up -d --scale service=n`, as a person types it."""
        wanted = [f"--scale={service.replace('_', '-')}={count}" for service, count in replicas.items()]
        self.compose("up", "-d", "--no-build", *wanted)

    def containers(self, service: str) -> list[str]:
        return self.compose("ps", "-q", service).split()

    def pid(self, container: str) -> int:
        """The process of a container as the host numbers it. `docker kill` would look like a person's stop."""
        state = subprocess.run(
            ["docker", "inspect", "-f", "{{.State.Pid}}", container], capture_output=True, text=True, check=True
        )
        return int(state.stdout)

    def docker(self, *arguments: str) -> str:
        done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True, timeout=120)
        return done.stdout.strip()

    def dry_run_changes(self) -> list[str]:
        """What `docker compose up` would do to containers that run; nothing, when all of them are as it wants them."""
        counts = {
            f"--scale={service}={len(self.containers(service))}" for service in ("backend", "ai-engine", "frontend")
        }
        command = ("up", "-d", "--dry-run", "--no-build", *sorted(counts))
        environment = {**os.environ, "COMPOSE_FILE": self.variable("COMPOSE_FILE")}
        done = subprocess.run(
            ["docker", "compose", "--env-file", str(self.env_file), "-p", self.project, *command],
            cwd=ROOT, capture_output=True, text=True, timeout=120, env=environment, check=True,
        )  # fmt: skip
        # The one-shot `migrate` starts at every `up`.
        told = [line.strip() for line in (done.stdout + done.stderr).splitlines() if "migrate" not in line]
        return [line for line in told if re.search(r"Recreate|Creat|Remov|Stopp", line)]

    def kill_9(self, container: str) -> None:
        pid = self.pid(container)
        assert pid > 1, f"{container} has no process"  # 0 would be ourselves
        os.kill(pid, signal.SIGKILL)

    def fill_memory(self, container: str) -> None:
        """Take more memory inside a container than it may have. Its own process is the one that the kernel ends."""
        Path(f"/proc/{self.pid(container)}/oom_score_adj").write_text("1000")
        hog = "kept = []\nwhile True: kept.append(bytearray(16 << 20))"
        # It ends with the container, so its own end is no failure.
        command = ["docker", "exec", container, "/usr/bin/python3", "-c", hog]
        subprocess.run(command, capture_output=True, check=False, timeout=60)

    def cut_off(self, container: str, service: str) -> None:
        """From now on the container's connections to a service are refused, until it starts again."""
        found = json.loads(self.docker("inspect", *self.containers(service)))
        networks = [network for each in found for network in each["NetworkSettings"]["Networks"].values()]
        inside = ["nsenter", "--net", f"--target={self.pid(container)}"]
        for address in (network["IPAddress"] for network in networks):
            rule = ["-I", "OUTPUT", "-d", address, "-p", "tcp", "-j", "REJECT", "--reject-with", "tcp-reset"]
            subprocess.run([*inside, "iptables", *rule], capture_output=True, check=True, timeout=20)

    @contextmanager
    def stopped(self, service: str) -> Iterator[None]:
        """Inside the block the service is stopped; afterwards it is healthy again."""
        self.compose("stop", "-t", "5", service)
        try:
            yield
        finally:
            self.compose("start", service)
            eventually(lambda: self.is_healthy(service), within_seconds=90)

    def is_healthy(self, service: str) -> bool:
        states = self.compose("ps", "--format", "{{.Health}}", service).split()
        return bool(states) and all(state == "healthy" for state in states)

    # --- what is stored ---------------------------------------------------------------------------------------------
    def sql(self, query: str) -> str:
        """The unaligned output of a query, asked as the superuser inside the Postgres container."""
        return self.compose(
            "exec", "-T", "postgres", "psql", "-U", "postgres", "-d", "modporter", "-Atc", query
        ).strip()

    def wait_until_idle(self) -> None:
        """No conversion waits or runs any more, whoever asked for it."""
        waiting = "SELECT count(*) FROM conversions WHERE status IN ('queued', 'running')"
        eventually(lambda: self.sql(waiting) == "0", within_seconds=180, every_seconds=1)

    def stored_at_rest(self) -> dict[str, int]:
        """What is stored once earlier deletions are through: the same twice, a second apart."""

        def still() -> dict[str, int] | None:
            first = self.stored()
            time.sleep(1)
            return first if self.stored() == first else None

        return eventually(still, within_seconds=30)  # type: ignore[return-value]

    def stored(self) -> dict[str, int]:
        """How much the stack holds: rows of every tenant-owned table and files in object storage."""
        tables = ("tenants", "conversions", "ledger_rows", "previews", "conversion_embeddings", "procrastinate_jobs")
        counts = " UNION ALL ".join(f"SELECT '{name}', count(*) FROM {name}" for name in tables)
        rows = dict(line.split("|") for line in self.sql(counts).splitlines())
        files = self.docker(
            "exec", self.containers("backend")[0], "/usr/bin/python3", "-c",
            "import os; print(sum(len(f) for _, _, f in os.walk('/var/lib/modporter/objects')))",
        )  # fmt: skip
        return {**{name: int(count) for name, count in rows.items()}, "files": int(files)}
