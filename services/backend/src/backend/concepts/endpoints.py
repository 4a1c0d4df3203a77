"""Route /api/v1/concepts/{java_id}."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path

from backend import errors
from backend.concepts.schemas import ConceptView
from backend.deps import MaybeTenant, ResourcesDep

router = APIRouter(prefix="/concepts", tags=["concepts"])


@router.get("/{java_id:path}")
async def concept(
    resources: ResourcesDep,
    tenant_id: MaybeTenant,
    java_id: Annotated[str, Path(max_length=300, description="such as mymod:copper_lamp")],
) -> ConceptView:
    """What a Java id became, with how many conversions as evidence; only what the asker or three others contributed."""
    found = await resources.graph.concept(java_id, tenant_id)
    if found is None:
        raise errors.concept_not_found()
    return found
