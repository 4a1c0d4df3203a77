"""The application without any store: nothing that it depends on answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from backend.app import create_app
from backend.settings import BackendSettings


@pytest.fixture
def settings(tmp_path: Path) -> BackendSettings:
    return BackendSettings(
        environment="development",
        database_host="127.0.0.1",
        database_port=9,
        database_app_password="password",
        redis_host="127.0.0.1",
        redis_port=9,
        redis_app_password="password",
        neo4j_uri="bolt://127.0.0.1:9",
        neo4j_password="password",
        session_key="a key for tests",
        storage_url=(tmp_path / "objects").as_uri(),
        ai_engine_url="http://127.0.0.1:9",
        max_upload_mb=1,
    )


@pytest.fixture
async def client(settings: BackendSettings) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client,
    ):
        yield client
