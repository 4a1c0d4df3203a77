"""Routes /api/v1/conversions/{id}/previews and the pictures below it."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Path, Response
from fastapi.responses import StreamingResponse

from backend import errors
from backend.deps import OwnConversion, ResourcesDep, Transaction
from backend.previews import repository
from backend.previews.schemas import PreviewView
from common.storage import preview_key

router = APIRouter(prefix="/conversions", tags=["previews"])


@router.get("/{conversion_id}/previews")
async def previews(conversion: OwnConversion, session: Transaction) -> list[PreviewView]:
    """Pictures of the textures that were converted, in the order of the add-on."""
    return [
        PreviewView(
            java_id=preview.java_id,
            kind=preview.kind,
            url=f"/api/v1/conversions/{conversion.id}/previews/{quote(preview.file_name)}",
            width=preview.width,
            height=preview.height,
        )
        for preview in await repository.all_of(session, conversion.tenant_id, conversion.id)
    ]


@router.get("/{conversion_id}/previews/{file}", response_class=Response)
async def picture(
    resources: ResourcesDep,
    conversion: OwnConversion,
    session: Transaction,
    file: Annotated[str, Path(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$")],
) -> Response:
    """One picture, as PNG."""
    key = preview_key(conversion.tenant_id, conversion.id, file)
    is_known = await repository.has_file(session, conversion.tenant_id, conversion.id, file)
    stat = await resources.store.stat(key) if is_known else None
    if stat is None:
        raise errors.preview_not_found()
    headers = {"Content-Length": str(stat.size_bytes), "Cache-Control": "private, max-age=3600"}
    chunks = resources.store.stream(key, 0, stat.size_bytes)
    return StreamingResponse(chunks, media_type="image/png", headers=headers)
