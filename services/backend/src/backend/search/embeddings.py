"""Asks the AI engine for the embedding of a query. Search has a fallback, so every failure here is just None."""

from __future__ import annotations

from dataclasses import dataclass

import httpx
import structlog
from pydantic import BaseModel, ValidationError

from backend.search.models import DIMENSIONS
from common.requests import HEADER, current_request_id

TIMEOUT = httpx.Timeout(2.0, connect=0.5)

log = structlog.stdlib.get_logger("embeddings")


class EmbeddingsAnswer(BaseModel):
    """What POST /embeddings answers."""

    model: str
    embeddings: list[list[float]]


@dataclass(frozen=True, slots=True)
class Embedded:
    model: str
    vector: list[float]


class Embedder:
    """A client of the AI engine."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    async def embed(self, words: str) -> Embedded | None:
        """The embedding of a text, or None when the AI engine does not give one in time."""
        headers = {HEADER: request_id} if (request_id := current_request_id()) else {}
        try:
            answer = await self._http.post("/embeddings", json={"texts": [words]}, headers=headers)
            answer.raise_for_status()
            found = EmbeddingsAnswer.model_validate_json(answer.content)
        except (httpx.HTTPError, ValidationError) as error:
            log.warning("no embedding", reason=f"{type(error).__name__}: {error}"[:200])
            return None
        if len(found.embeddings) != 1 or len(found.embeddings[0]) != DIMENSIONS:
            log.warning("an embedding of another shape", count=len(found.embeddings))
            return None
        return Embedded(found.model, found.embeddings[0])

    async def probe(self) -> None:
        """Raise when the AI engine does not answer."""
        (await self._http.get("/health/live")).raise_for_status()

    async def close(self) -> None:
        await self._http.aclose()


def connect(base_url: str) -> Embedder:
    """A client for AI_ENGINE_URL; proxies of the environment are not for addresses inside the stack."""
    limits = httpx.Limits(max_connections=20, max_keepalive_connections=5)
    return Embedder(httpx.AsyncClient(base_url=base_url, timeout=TIMEOUT, limits=limits, trust_env=False))
