"""Takes an upload from the first byte to the queued conversion, or to nothing at all.

    body -> staging object -> inspected -> final object -> one transaction: tenant, conversion, job -> 202

Whatever fails before the commit, the object is deleted again and no row exists. When the commit itself fails, nobody
knows whether the row exists: the object stays, and the sweep deletes it once it sees that there is no row. Called by
the endpoint of POST /conversions.
"""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog
from fastapi import Request

import converter
from backend import errors
from backend.conversions import repository
from backend.conversions.multipart import OVERHEAD_BYTES, RequestBody, UploadedFile, boundary_of
from backend.conversions.repository import NewConversion
from backend.conversions.schemas import Status, progress_of
from backend.conversions.tasks import defer_conversion
from backend.db.engine import Database
from backend.settings import BackendSettings
from common.problems import Problem
from common.storage import INCOMING_PREFIX, ObjectStore, upload_key

INSPECTIONS_AT_ONCE = 2

log = structlog.stdlib.get_logger("uploads")


@dataclass(frozen=True, slots=True)
class UploadResult:
    """`is_replay`: the conversion had been stored by an earlier request with the same Idempotency-Key."""

    conversion_id: uuid.UUID
    status: Status
    is_replay: bool


class Uploads:
    """One for the process; see the module's docstring."""

    def __init__(self, settings: BackendSettings, database: Database, store: ObjectStore) -> None:
        self._max_bytes = settings.max_upload_bytes
        self._max_mb = settings.max_upload_mb
        self._database = database
        self._store = store
        self._inspecting = asyncio.Semaphore(INSPECTIONS_AT_ONCE)

    async def accept(self, request: Request, tenant_id: uuid.UUID, idempotency_key: str | None) -> UploadResult:
        """Store and enqueue the request's file. Raises the problem that tells why not."""
        boundary = boundary_of(request.headers.get("content-type"))
        body = RequestBody(request.receive)
        upload = UploadedFile(body, boundary, self._max_bytes)
        staging = f"{INCOMING_PREFIX}{uuid.uuid4()}"
        try:
            self._refuse_by_declared_size(request)
            await self._store.put_stream(staging, upload.chunks())
        except Problem:
            await body.discard()
            raise
        async with self._deleted_on_failure(staging):
            summary = await self._inspect(staging)
            conversion = NewConversion(
                id=uuid.uuid4(),
                tenant_id=tenant_id,
                file_name=upload.file_name,
                file_size_bytes=upload.size_bytes,
                file_sha256=upload.sha256,
                mod_id=summary.id,
                mod_name=summary.name,
                mod_version=summary.version,
                mod_loader=summary.loader,
                idempotency_key=idempotency_key,
                idempotency_fingerprint=fingerprint(upload) if idempotency_key is not None else None,
            )
            final = upload_key(tenant_id, conversion.id)
            await self._store.move(staging, final)
        result = await self._store_row_and_job(conversion, final)
        if result.is_replay:
            await self._store.delete(final)
        else:
            log.info("accepted", conversion_id=str(conversion.id), size_bytes=upload.size_bytes, mod_id=summary.id)
        return result

    def _refuse_by_declared_size(self, request: Request) -> None:
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > self._max_bytes + OVERHEAD_BYTES:
            raise errors.upload_too_large(self._max_mb)

    async def _inspect(self, key: str) -> converter.JarSummary:
        def inspect() -> converter.JarSummary:
            with self._store.open_reader(key) as jar:
                return converter.inspect_jar(jar, converter.Limits(jar_bytes=self._max_bytes))

        async with self._inspecting:
            try:
                return await asyncio.to_thread(inspect)
            except converter.BadJar as bad:
                raise errors.refused_jar(bad.code, bad.detail) from bad

    async def _store_row_and_job(self, conversion: NewConversion, key: str) -> UploadResult:
        """A replay when the idempotency key was used before for the same file. `key`: where the object lies."""
        # The order matters: the inner block ends before the commit, whose failure must not delete anything.
        async with self._database.transaction() as session, self._deleted_on_failure(key):
            await repository.ensure_tenant(session, conversion.tenant_id)
            if await repository.add_unless_key_is_used(session, conversion):
                job_id = await defer_conversion(session, conversion.id, conversion.file_size_bytes)
                await repository.set_job(session, conversion.id, job_id)
                return UploadResult(conversion.id, "queued", is_replay=False)
            earlier = await repository.find_by_key(session, conversion.tenant_id, conversion.idempotency_key)
            if earlier is None or earlier.idempotency_fingerprint != conversion.idempotency_fingerprint:
                raise errors.idempotency_conflict()
            return UploadResult(earlier.id, progress_of(earlier).status, is_replay=True)

    @asynccontextmanager
    async def _deleted_on_failure(self, key: str) -> AsyncIterator[None]:
        try:
            yield
        except BaseException:
            await asyncio.shield(self._store.delete(key))
            raise


def fingerprint(upload: UploadedFile) -> str:
    """What makes two uploads the same for an Idempotency-Key: the bytes and the name."""
    return hashlib.sha256(f"{upload.sha256}\n{upload.file_name}".encode()).hexdigest()
