"""Pages of a ledger, and the whole of it as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Sequence

from backend.conversions.models import Conversion
from backend.conversions.schemas import coverage_of
from backend.db.engine import Database
from backend.deps import Resources
from backend.kit.cache import ledger_cache_key
from backend.kit.pagination import decode_cursor, encode_cursor
from backend.ledger import repository
from backend.ledger.models import LedgerRow
from backend.ledger.repository import LedgerFilter
from backend.ledger.schemas import LedgerEntry, LedgerPage

DEFAULT_LIMIT = 100
CSV_BATCH_ROWS = 2000
CSV_COLUMNS = ("source", "kind", "outcome", "reason", "outputs")
# A spreadsheet takes a cell that begins with one of these for a formula, whatever the file says.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


async def page_json(
    resources: Resources, conversion: Conversion, wanted: LedgerFilter, *, limit: int, cursor: str | None
) -> str:
    """One page as JSON text; the first one that everybody opens comes from the cache once nothing changes any more."""
    is_first = wanted.is_empty and cursor is None and limit == DEFAULT_LIMIT and conversion.status == "completed"
    key = ledger_cache_key(conversion.tenant_id, conversion.id)
    cached = await resources.cache.get(key) if is_first else None
    if cached is not None:
        return cached
    text = (await page(resources.database, conversion, wanted, limit=limit, cursor=cursor)).model_dump_json()
    if is_first:
        await resources.cache.put(key, text)
    return text


async def page(
    database: Database, conversion: Conversion, wanted: LedgerFilter, *, limit: int, cursor: str | None
) -> LedgerPage:
    after = int(decode_cursor(cursor, [int])[0]) if cursor is not None else -1
    async with database.transaction() as session:
        rows = await repository.page(session, conversion.tenant_id, conversion.id, wanted, after=after, limit=limit + 1)
        matching = await repository.count(session, conversion.tenant_id, conversion.id, wanted)
    return LedgerPage(
        items=[LedgerEntry.model_validate(row, from_attributes=True) for row in rows[:limit]],
        next_cursor=encode_cursor([rows[limit - 1].position]) if len(rows) > limit else None,
        matching=matching,
        totals=coverage_of(conversion),
    )


async def csv_chunks(database: Database, conversion: Conversion, wanted: LedgerFilter) -> AsyncIterator[bytes]:
    """All matching rows as CSV in UTF-8, batch by batch: a slow reader holds no connection to the database."""
    yield to_csv([CSV_COLUMNS])
    after = -1
    while True:
        async with database.transaction() as session:
            rows = await repository.page(
                session, conversion.tenant_id, conversion.id, wanted, after=after, limit=CSV_BATCH_ROWS
            )
        if not rows:
            return
        after = rows[-1].position
        yield to_csv([cells_of(row) for row in rows])


def cells_of(row: LedgerRow) -> tuple[str, ...]:
    return tuple(map(harmless, (row.source, row.kind, row.outcome, row.reason, "; ".join(row.outputs))))


def harmless(cell: str) -> str:
    """The cell, with an apostrophe in front where a spreadsheet would run it as a formula."""
    return f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell


def to_csv(rows: Sequence[Sequence[str]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\r\n").writerows(rows)
    return buffer.getvalue().encode()
