"""All SQL of search: nearest own conversions by embedding, and own conversions whose names hold a text."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from sqlalchemy import or_, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from backend.conversions.models import Conversion
from backend.search.models import ConversionEmbedding

Scored = tuple[Conversion, float]


async def embedding_of(
    session: AsyncSession, tenant_id: uuid.UUID, conversion_id: uuid.UUID
) -> ConversionEmbedding | None:
    statement = select(ConversionEmbedding).where(
        ConversionEmbedding.conversion_id == conversion_id, ConversionEmbedding.tenant_id == tenant_id
    )
    return (await session.execute(statement)).scalar_one_or_none()


async def nearest(
    session: AsyncSession,
    tenant_id: uuid.UUID,
    model: str,
    embedding: Sequence[float],
    *,
    limit: int,
    but_not: uuid.UUID | None = None,
) -> list[Scored]:
    """The tenant's conversions by cosine similarity (1 is the same), best first; embeddings of one model only."""
    # The index knows nothing of tenants: it goes on looking until enough rows are the tenant's own, or it has seen
    # hnsw.max_scan_tuples rows; then the nearest that were found by then are the answer.
    await session.execute(text("SET LOCAL hnsw.iterative_scan = strict_order"))
    distance = ConversionEmbedding.embedding.cosine_distance(embedding)
    statement = (
        select(Conversion, distance)
        .join(ConversionEmbedding, ConversionEmbedding.conversion_id == Conversion.id)
        .where(ConversionEmbedding.tenant_id == tenant_id, ConversionEmbedding.model == model)
        .order_by(distance)
        .limit(limit)
    )
    if but_not is not None:
        statement = statement.where(ConversionEmbedding.conversion_id != but_not)
    return [(conversion, 1.0 - float(found)) for conversion, found in (await session.execute(statement)).all()]


async def named_like(session: AsyncSession, tenant_id: uuid.UUID, words: str, *, limit: int) -> Sequence[Conversion]:
    """The tenant's conversions whose mod or file name holds the words, newest first."""
    columns = (Conversion.mod_name, Conversion.mod_id, Conversion.file_name)
    statement = (
        select(Conversion)
        .where(Conversion.tenant_id == tenant_id)
        .where(or_(*(column.icontains(words, autoescape=True) for column in columns)))
        .order_by(Conversion.created_at.desc(), Conversion.id.desc())
        .limit(limit)
    )
    return (await session.execute(statement)).scalars().all()
