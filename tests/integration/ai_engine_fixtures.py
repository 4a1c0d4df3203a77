"""Fixtures of the AI engine's integration tests; each test module names this one in `pytest_plugins`."""

from __future__ import annotations

import importlib.util
import io
import os
import tarfile
from pathlib import Path

import docker
import pytest
from docker.errors import ImageNotFound

from tests.integration.ai_engine_process import STAND_IN_CONVERTER
from tests.integration.backend_process import Stores
from tests.integration.containers import ROOT

MODEL_IN_IMAGE = "/opt/models/all-MiniLM-L6-v2"


@pytest.fixture(scope="session")
def model_dir(docker_client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The encoder: the one that MODEL_DIR names, else copied out of the AI engine's image, where it was exported."""
    if named := os.environ.get("MODEL_DIR"):
        return Path(named)
    try:
        container = docker_client.containers.create("modporter/ai-engine:local")
    except ImageNotFound:
        if os.environ.get("REQUIRE_DOCKER") == "1":
            pytest.fail("modporter/ai-engine:local is not built", pytrace=False)
        pytest.skip("modporter/ai-engine:local is not built, and MODEL_DIR names no encoder")
    target = tmp_path_factory.mktemp("model")
    try:
        chunks, _ = container.get_archive(MODEL_IN_IMAGE)
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            archive.extractall(target, filter="data")
    finally:
        container.remove()
    return target / Path(MODEL_IN_IMAGE).name


@pytest.fixture(scope="module")
def ai_engine_stores(stores: Stores) -> Stores:
    """The stores without what other tests left in the queue: a worker would take that for its own."""
    stores.query("TRUNCATE tenants, conversions, outbox CASCADE")
    stores.query("TRUNCATE procrastinate_jobs CASCADE")
    return stores


@pytest.fixture(scope="session")
def creator_tools() -> None:
    """Skips where Mojang's validator is not installed for the checkout."""
    if not (ROOT / "services/converter/node_modules/@minecraft/creator-tools").is_dir():
        pytest.skip("Mojang's validator is not installed: run `npm ci` in services/converter")


@pytest.fixture
def stand_in_result(tmp_path: Path) -> None:
    """A whole result of the stand-in converter in `tmp_path`."""
    spec = importlib.util.spec_from_file_location("stand_in_converter", STAND_IN_CONVERTER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.write_result(tmp_path)
