"""`make up` and the supervisor's secrets, with real containers: what a running one sees, and when it is restarted."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from scripts import secret_files, sign_in
from scripts.project import Project

NAME = f"mp-it-sign-in-{os.getpid()}"
IMAGE = f"modporter/supervisor:{NAME}"
PASSWORD = "one-good-password"


@pytest.fixture
def installation(docker_client: docker.DockerClient, tmp_path: Path) -> Iterator[Project]:
    """Its secrets, and its tag of the supervisor's image; what stands for the supervisor is started by `started`."""
    secret_files.ensure(tmp_path)
    for path in (tmp_path, *tmp_path.parents[:2]):
        path.chmod(0o755)
    docker_client.images.get("modporter/supervisor:local").tag(*IMAGE.split(":"))
    yield Project(tmp_path / ".env", {"COMPOSE_PROJECT_NAME": NAME, "SECRETS_DIR": str(tmp_path)})
    for container in docker_client.containers.list(all=True, filters={"label": f"com.docker.compose.project={NAME}"}):
        container.remove(force=True, v=True)
    docker_client.images.remove(IMAGE)


def started(client: docker.DockerClient, installation: Project) -> Container:
    labels = {"com.docker.compose.project": NAME, "com.docker.compose.service": "supervisor"}
    mounts = {
        str(installation.secrets_dir / name): {"bind": f"/run/secrets/{name}", "mode": "ro"} for name in sign_in.MOUNTED
    }
    return client.containers.run(
        IMAGE, ["300"], entrypoint=["sleep"], name=f"{NAME}-1", labels=labels, volumes=mounts, detach=True
    )


def is_taken(container: Container, password: str) -> bool:
    """Whether the hash that the container sees now is this password's, by the library that the supervisor uses."""
    code = (
        "import sys; from argon2 import PasswordHasher; "
        "PasswordHasher().verify(open('/run/secrets/supervisor_password_hash').read().strip(), sys.argv[1])"
    )
    return bool(container.exec_run(["python", "-c", code, password]).exit_code == 0)


def start_of(container: Container) -> str:
    container.reload()
    return str(container.attrs["State"]["StartedAt"])


def test_a_new_password_reaches_the_running_supervisor_without_a_restart(
    docker_client: docker.DockerClient, installation: Project
) -> None:
    sign_in.ensure(installation)
    container = started(docker_client, installation)
    begun = start_of(container)
    path = installation.secrets_dir / "supervisor_password"
    path.unlink()
    time.sleep(0.02)
    path.write_text(PASSWORD)
    sign_in.ensure(installation)
    assert is_taken(container, PASSWORD)
    assert not is_taken(container, "another")
    assert start_of(container) == begun
    sign_in.ensure(installation)
    assert start_of(container) == begun


def test_a_secret_that_was_made_anew_restarts_the_supervisor_that_cannot_see_it(
    docker_client: docker.DockerClient, installation: Project
) -> None:
    sign_in.ensure(installation)
    container = started(docker_client, installation)
    begun = start_of(container)
    token = installation.secrets_dir / "supervisor_api_token"
    token.unlink()
    secret_files.ensure(installation.secrets_dir)
    sign_in.ensure(installation)
    assert start_of(container) != begun
    seen = container.exec_run(["cat", "/run/secrets/supervisor_api_token"]).output.decode()
    assert seen == token.read_text()
