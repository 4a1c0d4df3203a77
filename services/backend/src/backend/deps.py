"""What endpoints ask for: the process's resources, who is asking, and the one transaction of the request."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from backend import errors
from backend.concepts.repository import ConceptGraph
from backend.conversions import repository
from backend.conversions.models import Conversion
from backend.conversions.uploads import Uploads
from backend.db.engine import Database
from backend.kit.cache import Cache
from backend.kit.rate_limit import RateLimit
from backend.kit.redis import RedisGate
from backend.kit.session_cookie import SessionCookie
from backend.search.embeddings import Embedder
from common.storage import ObjectStore


@dataclass(frozen=True, slots=True)
class Resources:
    """Everything that lives as long as the process; made and closed by the application's lifespan."""

    database: Database
    store: ObjectStore
    redis: RedisGate
    cache: Cache
    uploads: Uploads
    upload_limit: RateLimit
    session_cookie: SessionCookie
    graph: ConceptGraph
    embedder: Embedder


def _resources(request: Request) -> Resources:
    resources = request.app.state.resources
    assert isinstance(resources, Resources)  # noqa: S101 - Starlette's state is untyped
    return resources


ResourcesDep = Annotated[Resources, Depends(_resources)]


def _tenant(request: Request, resources: ResourcesDep) -> uuid.UUID | None:
    return resources.session_cookie.tenant_of(request)


MaybeTenant = Annotated[uuid.UUID | None, Depends(_tenant)]


def _known_tenant(tenant_id: MaybeTenant) -> uuid.UUID:
    if tenant_id is None:
        raise errors.conversion_not_found()
    return tenant_id


KnownTenant = Annotated[uuid.UUID, Depends(_known_tenant)]


async def _transaction(resources: ResourcesDep) -> AsyncIterator[AsyncSession]:
    async with resources.database.transaction() as session:
        yield session


# scope="function": committed before the answer is sent, so that no client hears of what is not stored.
Transaction = Annotated[AsyncSession, Depends(_transaction, scope="function")]


async def _own_conversion(conversion_id: uuid.UUID, tenant_id: KnownTenant, session: Transaction) -> Conversion:
    conversion = await repository.find(session, tenant_id, conversion_id)
    if conversion is None:
        raise errors.conversion_not_found()
    return conversion


OwnConversion = Annotated[Conversion, Depends(_own_conversion, scope="function")]
