"""One conversion with its ledger and textures, the history of the visitor's own, search and deletion.

Each part has an address of its own that answers htmx with a fragment and a plain browser with the whole page, so that
everything but the upload works without JavaScript.
"""

import asyncio
from typing import Annotated, Any, Literal
from urllib.parse import urlencode
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse
from starlette.background import BackgroundTask

from frontend.api_models import Conversion, LedgerPage, Preview
from frontend.backend_client import Visitor
from frontend.messages import failure_message
from frontend.pages.requests import PageRenderer, PageVisitor, is_htmx
from frontend.security import require_same_origin

LEDGER_ROWS = 50
PREVIEWS = 36
HISTORY_ROWS = 20

Outcome = Literal["", "converted", "approximated", "unsupported", "ignored", "error"]
Words = Annotated[str, Query(max_length=200)]
Cursor = Annotated[str | None, Query(max_length=2000)]

router = APIRouter()


@router.get("/conversions")
async def history(
    request: Request,
    renderer: PageRenderer,
    visitor: PageVisitor,
    q: Words = "",
    cursor: Cursor = None,
    deleted: bool = False,
) -> HTMLResponse:
    """The visitor's own conversions, newest first; with words, those closest to them."""
    words = q.strip()
    found = await visitor.search(words) if words else None
    page = None if found else await visitor.conversions(limit=HISTORY_ROWS, cursor=cursor)
    template = "_history.html" if is_htmx(request) else "history.html"
    return renderer.page(
        request, template, visitor=visitor, q=words, found=found, page=page, cursor=cursor, is_deleted=deleted
    )


@router.get("/conversions/{conversion_id}")
async def conversion_page(
    request: Request,
    renderer: PageRenderer,
    visitor: PageVisitor,
    conversion_id: UUID,
    outcome: Outcome = "",
    q: Words = "",
    cursor: Cursor = None,
) -> HTMLResponse:
    """Live progress while it runs, the result when it is finished."""
    conversion = await visitor.conversion(conversion_id)
    context = await result_context(visitor, conversion, outcome, q.strip(), cursor)
    context |= finished_context(conversion, request.app.state.settings.max_upload_mb)
    return renderer.page(request, "conversion.html", visitor=visitor, **context)


@router.get("/conversions/{conversion_id}/ledger")
async def ledger(
    request: Request,
    renderer: PageRenderer,
    visitor: PageVisitor,
    conversion_id: UUID,
    outcome: Outcome = "",
    q: Words = "",
    cursor: Cursor = None,
) -> HTMLResponse:
    """The ledger's rows for htmx: the whole table body for a new filter, further rows for a cursor."""
    words = q.strip()
    page = await _ledger(visitor, conversion_id, outcome, words, cursor)
    template = "_ledger_rows.html" if cursor else "_ledger_table.html"
    return renderer.page(
        request,
        template,
        visitor=visitor,
        conversion_id=conversion_id,
        ledger=page,
        more_url=more_url(outcome, words, page),
        is_fragment=True,
    )


@router.get("/conversions/{conversion_id}/ledger.csv")
async def ledger_csv(visitor: PageVisitor, conversion_id: UUID) -> StreamingResponse:
    """The whole ledger as a file: a link cannot ask the API for CSV, because it cannot send an Accept header."""
    answer = await visitor.ledger_csv(conversion_id)
    headers = {"Content-Disposition": f'attachment; filename="ledger-{conversion_id}.csv"'}
    return StreamingResponse(
        answer.aiter_bytes(), media_type="text/csv", headers=headers, background=BackgroundTask(answer.aclose)
    )


@router.get("/conversions/{conversion_id}/previews")
async def previews(
    request: Request,
    renderer: PageRenderer,
    visitor: PageVisitor,
    conversion_id: UUID,
    start: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
) -> HTMLResponse:
    """The next textures for htmx, from this position on."""
    found = await visitor.previews(conversion_id)
    context = preview_context(found, start)
    return renderer.page(request, "_previews.html", visitor=visitor, conversion_id=conversion_id, **context)


@router.get("/conversions/{conversion_id}/delete")
async def confirm_deletion(
    request: Request, renderer: PageRenderer, visitor: PageVisitor, conversion_id: UUID
) -> HTMLResponse:
    """Asks before deleting: as a dialog's content for htmx, else as a page."""
    template = "_delete.html" if is_htmx(request) else "delete.html"
    conversion = await visitor.conversion(conversion_id)
    return renderer.page(request, template, visitor=visitor, conversion=conversion)


@router.post("/conversions/{conversion_id}/delete", dependencies=[Depends(require_same_origin)])
async def delete(visitor: PageVisitor, conversion_id: UUID) -> RedirectResponse:
    """Deletes for good and shows the history, which says that it is done."""
    await visitor.delete(conversion_id)
    response = RedirectResponse("/conversions?deleted=true", status_code=303)
    for cookie in visitor.set_cookies:
        response.headers.append("set-cookie", cookie)
    return response


def finished_context(conversion: Conversion, max_upload_mb: int) -> dict[str, Any]:
    """What the templates need to word a failure."""
    code = conversion.error.code if conversion.error else None
    return {"failure": failure_message(code, max_upload_mb)}


async def result_context(
    visitor: Visitor, conversion: Conversion, outcome: Outcome = "", q: str = "", cursor: str | None = None
) -> dict[str, Any]:
    """Ledger and textures of a completed conversion; both empty while it runs or when it failed."""
    page, found = LedgerPage(), list[Preview]()
    if conversion.status == "completed":
        page, found = await asyncio.gather(
            _ledger(visitor, conversion.id, outcome, q, cursor), visitor.previews(conversion.id)
        )
    return {
        "conversion": conversion,
        "conversion_id": conversion.id,
        "outcome": outcome,
        "q": q,
        "is_fragment": False,
        "ledger": page,
        "more_url": more_url(outcome, q, page),
        **preview_context(found, 0),
    }


def preview_context(found: list[Preview], start: int) -> dict[str, Any]:
    """One screenful of textures from `start` on, and where the next begins (None at the end)."""
    end = start + PREVIEWS
    return {
        "previews": found[start:end],
        "preview_total": len(found),
        "next_preview": end if end < len(found) else None,
    }


def more_url(outcome: str, q: str, page: LedgerPage) -> str | None:
    """The query that continues a ledger after this page; None at its end."""
    if page.next_cursor is None:
        return None
    return "?" + urlencode({"outcome": outcome, "q": q, "cursor": page.next_cursor})


async def _ledger(visitor: Visitor, conversion_id: UUID, outcome: str, q: str, cursor: str | None) -> LedgerPage:
    return await visitor.ledger(conversion_id, outcome=outcome, query=q, limit=LEDGER_ROWS, cursor=cursor)
