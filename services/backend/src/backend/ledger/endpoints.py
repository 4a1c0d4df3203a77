"""Route /api/v1/conversions/{id}/ledger, as JSON pages or as CSV."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from backend.deps import OwnConversion, ResourcesDep
from backend.kit.downloads import content_disposition, safe_stem
from backend.kit.pagination import next_link
from backend.ledger import service
from backend.ledger.repository import LedgerFilter
from backend.ledger.schemas import LedgerPage, Outcome

router = APIRouter(prefix="/conversions", tags=["ledger"])


@router.get("/{conversion_id}/ledger", response_model=LedgerPage, responses={200: {"content": {"text/csv": {}}}})
async def ledger(
    request: Request,
    resources: ResourcesDep,
    conversion: OwnConversion,
    outcome: Annotated[list[Outcome] | None, Query(description="only these outcomes; may be repeated")] = None,
    q: Annotated[str, Query(max_length=200, description="text in source or reason, in any case")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = service.DEFAULT_LIMIT,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """What became of every file and id of the mod. `Accept: text/csv` gives all matching rows in one file."""
    wanted = LedgerFilter(outcomes=tuple(outcome or ()), text=q.replace("\0", ""))
    headers = {"Vary": "Accept"}
    if prefers_csv(request.headers.get("accept", "")):
        name = f"{safe_stem(conversion.mod_id or 'mod')}-ledger.csv"
        headers["Content-Disposition"] = content_disposition(name)
        chunks = service.csv_chunks(resources.database, conversion, wanted)
        return StreamingResponse(chunks, media_type="text/csv", headers=headers)
    text = await service.page_json(resources, conversion, wanted, limit=limit, cursor=cursor)
    next_cursor = json.loads(text)["next_cursor"]
    if next_cursor is not None:
        headers["Link"] = next_link(request, next_cursor)
    return Response(text, media_type="application/json", headers=headers)


def prefers_csv(accept: str) -> bool:
    """Whether text/csv is asked for, and not less than JSON."""
    return quality(accept, "text/csv") > 0 and quality(accept, "text/csv") >= quality(accept, "application/json")


def quality(accept: str, media_type: str) -> float:
    """The weight that an Accept header gives a media type by name; 0 when it does not name it."""
    for item in accept.lower().split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        if name == media_type:
            weights = [parameter[2:] for parameter in parameters if parameter.startswith("q=")]
            try:
                return float(weights[0]) if weights else 1.0
            except ValueError:
                return 0.0
    return 0.0
