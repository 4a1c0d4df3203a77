"""One installation of the stack: its folder, its settings file, and Compose commands that use exactly those.

`make up` works on `.env`; `make test` on a second installation with a settings file of its own. Every other script
gets a Project and needs to know neither.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts import dotenv
from scripts.console import fail
from scripts.process import ROOT, output

EXAMPLE = ROOT / ".env.example"
LOCAL_IMAGES_FILE = "images/compose.yml"
PRODUCTION_FILE = "docker-compose.prod.yml"
DEVELOPMENT_FILE = "docker-compose.dev.yml"
QUERY_SECONDS = 60
# Services that run several times, and the setting that says how often.
REPLICA_SETTINGS = {
    "backend": "BACKEND_REPLICAS",
    "ai-engine": "AI_ENGINE_REPLICAS",
    "frontend": "FRONTEND_REPLICAS",
}


@dataclass(frozen=True)
class Project:
    """Settings as the scripts and Compose see them, with the file that they come from."""

    env_file: Path
    values: Mapping[str, str]

    @property
    def name(self) -> str:
        """Prefix of the containers, networks and volumes."""
        return self.values["COMPOSE_PROJECT_NAME"]

    @property
    def compose_files(self) -> list[str]:
        """The Compose files, relative to the root, in the order in which they are merged."""
        return self.values["COMPOSE_FILE"].split(":")

    @property
    def secrets_dir(self) -> Path:
        """Folder of the generated passwords and keys."""
        return self.path("SECRETS_DIR")

    @property
    def base_url(self) -> str:
        """Where people open the page."""
        port = int(self.values["HTTPS_PORT"])
        domain = self.values["DOMAIN"]
        host = f"[{domain}]" if ":" in domain else domain
        return f"https://{host}" if port == 443 else f"https://{host}:{port}"

    def path(self, key: str) -> Path:
        """A setting that holds a path; Compose reads relative ones from the root, so do we."""
        return (ROOT / self.values[key]).resolve()

    def environment(self) -> dict[str, str]:
        """Environment for a child process. The settings are put in literally, so that nothing else can shadow them."""
        return {**os.environ, **self.values}

    def compose_command(self, *arguments: str) -> list[str]:
        """The argument list of `docker compose ...` for this installation."""
        return ["docker", "compose", "--env-file", str(self.env_file), *arguments]

    def compose(self, *arguments: str, timeout_seconds: float | None = None) -> int:
        """Run a Compose command on the user's terminal. Returns its exit code."""
        command = self.compose_command(*arguments)
        return subprocess.run(
            command, cwd=ROOT, env=self.environment(), check=False, timeout=timeout_seconds
        ).returncode

    def query(self, *arguments: str) -> str:
        """Standard output of a Compose command that only reads; empty when it fails or hangs."""
        command = self.compose_command(*arguments)
        try:
            return subprocess.run(
                command,
                cwd=ROOT,
                env=self.environment(),
                capture_output=True,
                text=True,
                check=True,
                timeout=QUERY_SECONDS,
            ).stdout
        except (OSError, subprocess.SubprocessError):
            return ""


def load(env_file: Path | None = None, *, isolated: bool = False) -> Project:
    """The installation that a settings file describes; missing settings come from .env.example.

    Variables of the shell win over the file, as they do in Compose, unless the installation is `isolated`.
    Ends the script when the file cannot be read.
    """
    file = env_file or ROOT / ".env"
    if not file.exists():
        fail(f"There is no {file.name} yet.", "Run `make up` (or `make init`, which only writes the settings).")
    values = dotenv.values(EXAMPLE.read_text(encoding="utf-8"))
    try:
        values |= dotenv.values(file.read_text(encoding="utf-8"))
    except dotenv.BadLineError as error:
        fail(f"{file} {error}.", "Correct that line and run the same command again.")
    if not isolated:
        values |= {key: os.environ[key] for key in values if os.environ.get(key)}
    return Project(file, values)


def volumes(project_name: str) -> list[str]:
    """Names of the data volumes that an installation has on this engine; empty when no engine answers."""
    label = f"label=com.docker.compose.project={project_name}"
    return (output(["docker", "volume", "ls", "--quiet", "--filter", label]) or "").split()


def containers(project_name: str) -> list[dict[str, Any]]:
    """`docker inspect` of all containers of an installation, stopped ones too; empty when no engine answers."""
    label = f"label=com.docker.compose.project={project_name}"
    ids = (output(["docker", "ps", "--all", "--quiet", "--filter", label]) or "").split()
    if not ids:
        return []
    return list(json.loads(output(["docker", "inspect", *ids], timeout_seconds=QUERY_SECONDS) or "[]"))


def with_running_replicas(installation: Project) -> Project:
    """The installation with the numbers of replicas that run now, where some do."""
    counts: dict[str, int] = {}
    for container in containers(installation.name):
        labels = container["Config"]["Labels"]
        if container["State"]["Running"] and labels.get("com.docker.compose.oneoff") != "True":
            service = labels["com.docker.compose.service"]
            counts[service] = counts.get(service, 0) + 1
    live = {key: str(counts[service]) for service, key in REPLICA_SETTINGS.items() if counts.get(service)}
    return Project(installation.env_file, {**installation.values, **live})
