"""One running stack for all scenarios; `make test` starts it and says where it is."""

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.journeys import convert, upload
from tests.e2e.stack import Stack, eventually
from tests.e2e.supervisor import Supervisor
from tests.fixtures.sample_mod import build_sample_mod


@pytest.fixture(scope="session")
def stack() -> Stack:
    found = Stack.from_environment()
    if found is None:
        if os.environ.get("REQUIRE_DOCKER") == "1":
            pytest.fail("no stack is running: these scenarios are started by `make test`")
        pytest.skip("no stack is running: `make test` starts one for these scenarios")
    return found


@pytest.fixture(scope="session")
def supervisor(stack: Stack) -> Supervisor:
    """The stack's supervisor, at work."""
    found = Supervisor(stack)
    eventually(found.is_ready, within_seconds=60)
    return found


@pytest.fixture
def visitor(stack: Stack) -> Iterator[httpx.Client]:
    with stack.visitor() as client:
        yield client


@pytest.fixture(scope="session")
def mod(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small mod that the repository makes itself."""
    path = tmp_path_factory.mktemp("mods") / "sample.jar"
    build_sample_mod(path)
    return path


@pytest.fixture(scope="session")
def owner(stack: Stack) -> Iterator[httpx.Client]:
    """A visitor who keeps one finished conversion for the scenarios that only read."""
    with stack.visitor() as client:
        yield client


@pytest.fixture(scope="session")
def finished(owner: httpx.Client, mod: Path) -> dict[str, object]:
    """The conversion of the small mod, completed."""
    return convert(owner, mod)


@pytest.fixture
def running(stack: Stack, visitor: httpx.Client, mod: Path) -> Iterator[str]:
    """The id of a conversion that a worker has just taken."""
    identifier = upload(visitor, mod).json()["id"]
    eventually(lambda: visitor.get(f"/api/v1/conversions/{identifier}").json()["status"] != "queued")
    yield identifier
    visitor.delete(f"/api/v1/conversions/{identifier}")
