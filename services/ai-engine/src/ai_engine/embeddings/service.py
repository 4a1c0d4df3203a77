"""Decides when texts are embedded: one at a time in a thread of its own, behind a queue with an end."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from ai_engine.embeddings.model import SentenceEncoder, Vectors
from common.problems import Problem

MAX_WAITING_TEXTS = 256
"""About ten seconds of work with the longest texts."""
RETRY_AFTER_SECONDS = 2


class EmbeddingService:
    """Used by the endpoint and by the conversions of the same process."""

    def __init__(self, encoder: SentenceEncoder) -> None:
        self._encoder = encoder
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embeddings")
        self._waiting_texts = 0

    @property
    def model_name(self) -> str:
        return self._encoder.name

    @property
    def dimensions(self) -> int:
        return self._encoder.dimensions

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """[texts, dimensions], whatever waits before it."""
        self._waiting_texts += len(texts)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._encoder.encode, texts)
        finally:
            self._waiting_texts -= len(texts)

    async def embed_or_refuse(self, texts: Sequence[str]) -> Vectors:
        """As `embed`; raises a 503 Problem at once when too much waits already."""
        if self._waiting_texts and self._waiting_texts + len(texts) > MAX_WAITING_TEXTS:
            raise Problem(
                503,
                "embeddings_busy",
                "Too many texts are waiting to be embedded; try again in a moment.",
                headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
            )
        return await self.embed(texts)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
