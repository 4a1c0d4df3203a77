"""All SQL on ledger rows. Callers have made sure that the conversion is the tenant's; the rows are asked once more."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from backend.ledger.models import LedgerRow


@dataclass(frozen=True, slots=True)
class LedgerFilter:
    """Which rows: of these outcomes (none given: all), with this text in source or reason."""

    outcomes: tuple[str, ...] = ()
    text: str = ""

    @property
    def is_empty(self) -> bool:
        return not self.outcomes and not self.text


async def page(
    session: AsyncSession,
    tenant_id: uuid.UUID,
    conversion_id: uuid.UUID,
    wanted: LedgerFilter,
    *,
    after: int,
    limit: int,
) -> Sequence[LedgerRow]:
    """Rows in the order of the ledger, from behind position `after`."""
    statement = (
        select(LedgerRow)
        .where(*_conditions(tenant_id, conversion_id, wanted), LedgerRow.position > after)
        .order_by(LedgerRow.position)
        .limit(limit)
    )
    return (await session.execute(statement)).scalars().all()


async def count(session: AsyncSession, tenant_id: uuid.UUID, conversion_id: uuid.UUID, wanted: LedgerFilter) -> int:
    statement = select(func.count()).select_from(LedgerRow).where(*_conditions(tenant_id, conversion_id, wanted))
    return (await session.execute(statement)).scalar_one()


def _conditions(tenant_id: uuid.UUID, conversion_id: uuid.UUID, wanted: LedgerFilter) -> list[ColumnElement[Any]]:
    conditions: list[ColumnElement[Any]] = [
        LedgerRow.conversion_id == conversion_id,
        LedgerRow.tenant_id == tenant_id,
    ]
    if wanted.outcomes:
        conditions.append(LedgerRow.outcome.in_(wanted.outcomes))
    if wanted.text:
        columns = (LedgerRow.source, LedgerRow.reason)
        conditions.append(or_(*(column.icontains(wanted.text, autoescape=True) for column in columns)))
    return conditions
