"""The start page: what this is, the drop zone, and the visitor's latest conversions."""

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from frontend.api_models import Conversion
from frontend.backend_client import BackendAwayError, BackendRefusedError, Visitor
from frontend.messages import upload_messages
from frontend.pages.requests import PageRenderer, PageVisitor

RECENT = 5

log = structlog.stdlib.get_logger("pages")
router = APIRouter()


@router.api_route("/", methods=["GET", "HEAD"])
async def home(request: Request, renderer: PageRenderer, visitor: PageVisitor) -> HTMLResponse:
    """Shown even while the backend is away: it then says so, and a chosen file waits."""
    recent = await _recent(visitor)
    limit = request.app.state.settings.max_upload_mb
    return renderer.page(
        request, "home.html", visitor=visitor, recent=recent, messages=upload_messages(limit), is_away=recent is None
    )


async def _recent(visitor: Visitor) -> list[Conversion] | None:
    """None when the backend does not answer as it should."""
    try:
        return (await visitor.conversions(limit=RECENT)).items
    except (BackendAwayError, BackendRefusedError) as error:
        log.warning("home without the backend", reason=str(error))
        return None
