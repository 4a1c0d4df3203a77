"""Routes of /api/v1/conversions: upload, look at, list, delete, follow, download."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from backend import errors
from backend.conversions import service
from backend.conversions.events import EventStream
from backend.conversions.schemas import Accepted, ConversionPage, ConversionView
from backend.deps import KnownTenant, MaybeTenant, OwnConversion, ResourcesDep, Transaction
from backend.kit.downloads import Download, respond, safe_stem
from backend.kit.pagination import next_link
from common.drain import drain_of
from common.storage import addon_key

ADDON_MEDIA_TYPE = "application/octet-stream"
IDEMPOTENCY_KEY = re.compile(r"[\x20-\x7e]{1,255}")
UPLOAD_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": {"type": "string", "format": "binary", "description": "the mod's .jar"}},
                }
            }
        },
    }
}

router = APIRouter(prefix="/conversions", tags=["conversions"])


@router.post("", status_code=202, openapi_extra=UPLOAD_BODY)
async def upload(
    request: Request,
    response: Response,
    resources: ResourcesDep,
    tenant_id: MaybeTenant,
    idempotency_key: Annotated[str | None, Header(description="the same key and file give the same answer")] = None,
) -> Accepted:
    """Upload one mod in the form field `file`; it is converted in the background."""
    if idempotency_key is not None and not IDEMPOTENCY_KEY.fullmatch(idempotency_key):
        raise errors.bad_idempotency_key()
    wait_seconds = await resources.upload_limit.seconds_to_wait(request.client.host if request.client else "")
    if wait_seconds:
        raise errors.rate_limited(wait_seconds)
    owner = tenant_id or uuid.uuid4()
    result = await resources.uploads.accept(request, owner, idempotency_key)
    resources.session_cookie.give(response, owner)  # again for who has it: its year begins anew
    response.headers["Location"] = f"/api/v1/conversions/{result.conversion_id}"
    if result.is_replay:
        response.headers["Idempotent-Replayed"] = "true"
    return Accepted(id=result.conversion_id, status=result.status)


@router.get("")
async def list_own(
    request: Request,
    response: Response,
    resources: ResourcesDep,
    session: Transaction,
    tenant_id: MaybeTenant,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    cursor: Annotated[str | None, Query(max_length=500)] = None,
) -> ConversionPage:
    """Own conversions, newest first; the next page is in the Link header and in `next_cursor`.

    Who has no session yet is given one, so that an Idempotency-Key belongs to somebody from the first upload on.
    """
    page = await service.page(session, tenant_id, limit=limit, cursor=cursor)
    if tenant_id is None:
        resources.session_cookie.give(response, uuid.uuid4())
    if page.next_cursor is not None:
        response.headers["Link"] = next_link(request, page.next_cursor)
    return page


@router.get("/{conversion_id}", response_model=ConversionView)
async def get(conversion_id: uuid.UUID, resources: ResourcesDep, tenant_id: KnownTenant) -> Response:
    """One conversion: where it stands, which mod it is, and its coverage once it is completed."""
    text = await service.view_json(resources, tenant_id, conversion_id)
    return Response(text, media_type="application/json")


@router.delete("/{conversion_id}", status_code=204)
async def delete(conversion_id: uuid.UUID, resources: ResourcesDep, tenant_id: KnownTenant) -> None:
    """Delete a conversion and its files for good, whether it is queued, running or finished."""
    await service.delete(resources, tenant_id, conversion_id)


@router.head("/{conversion_id}/addon", include_in_schema=False)
@router.get("/{conversion_id}/addon", response_class=Response)
async def addon(request: Request, resources: ResourcesDep, conversion: OwnConversion) -> Response:
    """Download the .mcaddon; 409 until the conversion is completed. Knows ETag, If-None-Match and Range."""
    if conversion.status != "completed" or conversion.addon_sha256 is None or conversion.addon_size_bytes is None:
        raise errors.addon_not_ready(conversion.status)
    name = "-".join(part for part in (conversion.mod_id, conversion.mod_version) if part)
    return respond(
        request,
        resources.store,
        Download(
            key=addon_key(conversion.tenant_id, conversion.id),
            size_bytes=conversion.addon_size_bytes,
            sha256=conversion.addon_sha256,
            media_type=ADDON_MEDIA_TYPE,
            file_name=f"{safe_stem(name)}.mcaddon",
        ),
    )


@router.get("/{conversion_id}/events", response_class=EventSourceResponse)
async def events(
    request: Request, resources: ResourcesDep, conversion: OwnConversion
) -> AsyncIterator[ServerSentEvent]:
    """Follow a conversion: `progress` events, then `completed` or `failed` with the whole conversion."""
    stream = EventStream(resources, drain_of(request.app), conversion.tenant_id, conversion.id)
    async for event in stream.events():
        yield event
