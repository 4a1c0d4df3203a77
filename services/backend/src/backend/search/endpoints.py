"""Routes /api/v1/search and /api/v1/conversions/{id}/similar. Both only ever find the asking tenant's own."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from backend.conversions.models import Conversion
from backend.conversions.schemas import view_of
from backend.deps import MaybeTenant, OwnConversion, ResourcesDep, Transaction
from backend.search import repository
from backend.search.schemas import Hit, SearchPage, SimilarPage

router = APIRouter(tags=["search"])
Limit = Annotated[int, Query(ge=1, le=50)]


@router.get("/search")
async def search(
    resources: ResourcesDep,
    tenant_id: MaybeTenant,
    q: Annotated[str, Query(min_length=1, max_length=300)],
    limit: Limit = 10,
) -> SearchPage:
    """Own conversions that are closest in meaning to the words; by text when the embedding model is away."""
    words = q.replace("\0", "").strip()
    if tenant_id is None or not words:
        return SearchPage(mode="text", items=[])
    embedded = await resources.embedder.embed(words)  # before a connection is taken: this may last a second
    async with resources.database.transaction() as session:
        if embedded is None:
            found = await repository.named_like(session, tenant_id, words, limit=limit)
            return SearchPage(mode="text", items=[hit(conversion, None) for conversion in found])
        nearest = await repository.nearest(session, tenant_id, embedded.model, embedded.vector, limit=limit)
        return SearchPage(mode="semantic", items=[hit(conversion, score) for conversion, score in nearest])


@router.get("/conversions/{conversion_id}/similar")
async def similar(conversion: OwnConversion, session: Transaction, limit: Limit = 5) -> SimilarPage:
    """Own conversions that are closest in meaning to this one; none before it is completed."""
    own = await repository.embedding_of(session, conversion.tenant_id, conversion.id)
    if own is None:
        return SimilarPage(items=[])
    nearest = await repository.nearest(
        session, conversion.tenant_id, own.model, own.embedding, limit=limit, but_not=conversion.id
    )
    return SimilarPage(items=[hit(found, score) for found, score in nearest])


def hit(conversion: Conversion, similarity: float | None) -> Hit:
    return Hit(**view_of(conversion).model_dump(), similarity=similarity)
