"""One guard and one Docker for a module's tests; the Docker begins each test with the same containers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.fixtures.docker_guard_fakes import WEB_1, FakeDocker, Guard, clone_of, fill, guard_in_thread


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FakeDocker, Guard]]:
    folder = tmp_path_factory.mktemp("g")
    docker = FakeDocker(folder / "docker.sock")
    fill(docker)
    docker.start()
    with guard_in_thread(folder, docker) as guard:
        yield docker, guard
    docker.stop()


@pytest.fixture
def docker(running: tuple[FakeDocker, Guard]) -> FakeDocker:
    fill(running[0])
    running[0].seen.clear()
    return running[0]


@pytest.fixture
def guard(running: tuple[FakeDocker, Guard]) -> Guard:
    return running[1]


@pytest.fixture
def body(docker: FakeDocker) -> dict[str, Any]:
    """What the supervisor sends to make shop-web-3 out of shop-web-1."""
    return clone_of(docker.containers[WEB_1], 3)
