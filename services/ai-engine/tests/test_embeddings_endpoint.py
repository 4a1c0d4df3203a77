"""POST /embeddings over ASGI, with an encoder that is quick to make."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence

import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from ai_engine.embeddings.endpoints import router
from ai_engine.embeddings.model import Vectors
from ai_engine.embeddings.service import MAX_WAITING_TEXTS, EmbeddingService
from common.problems import install_problem_handlers


class LengthEncoder:
    """Embeds a text as its length; waits for `go` first."""

    name, dimensions = "length", 1

    def __init__(self) -> None:
        self.go = threading.Event()
        self.go.set()
        self.threads: set[str] = set()

    def encode(self, texts: Sequence[str]) -> Vectors:
        assert self.go.wait(30)
        self.threads.add(threading.current_thread().name)
        return np.array([[len(text)] for text in texts], dtype=np.float32)


@pytest.fixture
def encoder() -> LengthEncoder:
    return LengthEncoder()


@pytest.fixture
async def client(encoder: LengthEncoder) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    install_problem_handlers(app)
    app.include_router(router)
    app.state.embeddings = EmbeddingService(encoder)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://ai-engine") as client:
        yield client
    encoder.go.set()
    app.state.embeddings.close()


async def test_one_vector_for_each_text_in_order(client: httpx.AsyncClient, encoder: LengthEncoder) -> None:
    answer = await client.post("/embeddings", json={"texts": ["four", "", "x" * 8192]})
    assert answer.status_code == 200
    assert answer.json() == {"model": "length", "dimensions": 1, "embeddings": [[4.0], [0.0], [8192.0]]}
    assert all(name.startswith("embeddings") for name in encoder.threads), "not on the event loop's thread"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"texts": []},
        {"texts": ["a"] * 65},
        {"texts": ["x" * 8193]},
        {"texts": [1]},
        {"texts": "text"},
        {"texts": ["a"], "model": "other"},
    ],
)
async def test_what_is_not_allowed_is_a_problem(client: httpx.AsyncClient, body: dict[str, object]) -> None:
    answer = await client.post("/embeddings", json=body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "validation_error"


async def test_a_full_queue_says_when_to_come_back(client: httpx.AsyncClient, encoder: LengthEncoder) -> None:
    encoder.go.clear()
    full = MAX_WAITING_TEXTS // 64
    waiting = [asyncio.create_task(client.post("/embeddings", json={"texts": ["a"] * 64})) for _ in range(full)]
    await asyncio.sleep(0.5)
    refused = await client.post("/embeddings", json={"texts": ["b"]})
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "2"
    assert refused.json()["code"] == "embeddings_busy"
    encoder.go.set()
    assert [answer.status_code for answer in await asyncio.gather(*waiting)] == [200] * full
    assert (await client.post("/embeddings", json={"texts": ["b"]})).status_code == 200
