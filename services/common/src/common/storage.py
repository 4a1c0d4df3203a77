"""The port to object storage and its one adapter over obstore: a directory now (file://), a bucket later (s3://).

The backend streams uploads in and add-ons out; the AI engine reads jars and writes results. Keys are relative paths:

    incoming/{uuid}                                          staging of uploads, swept when old
    tenants/{tenant}/conversions/{conversion}/upload.jar     and addon.mcaddon, previews/{file} beside it
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import unquote, urlparse

import obstore
from obstore.exceptions import NotFoundError
from obstore.store import LocalStore, from_url

INCOMING_PREFIX = "incoming/"
WRITE_PART_BYTES = 5 * 1024 * 1024  # the smallest part that S3 takes
READ_CHUNK_BYTES = 256 * 1024


class ObjectNotFoundError(Exception):
    """No object lies under this key."""


@dataclass(frozen=True, slots=True)
class ObjectStat:
    size_bytes: int
    modified_at: datetime


class ObjectStore(Protocol):
    """What the services need of storage. Every write is atomic: an object is whole or absent."""

    async def put_stream(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        """Store a stream; when `chunks` raises or the task is cancelled, nothing is kept."""

    async def put_file(self, key: str, path: Path) -> None:
        """Store a local file."""

    async def get_file(self, key: str, path: Path) -> None:
        """Write an object to a local file. Raises ObjectNotFoundError."""

    def stream(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes [start, end) in chunks. Raises ObjectNotFoundError at the first chunk."""

    def open_reader(self, key: str) -> BinaryIO:
        """A seekable file that reads on demand, for blocking code in a thread. Raises ObjectNotFoundError."""

    async def stat(self, key: str) -> ObjectStat | None:
        """Size and time, or None when there is no such object."""

    async def move(self, source: str, target: str) -> None:
        """Rename within the store. Raises ObjectNotFoundError."""

    async def delete(self, key: str) -> None:
        """Delete one object; absent is fine."""

    async def delete_prefix(self, prefix: str) -> int:
        """Delete everything under `prefix` (which ends with `/`); returns how many objects that were."""

    def list_older(self, prefix: str, *, before: datetime) -> AsyncIterator[str]:
        """The keys under `prefix` that were last written before a time; deleting them meanwhile is fine."""

    async def delete_older(self, prefix: str, *, before: datetime) -> int:
        """Delete what was last written under `prefix` before a time, unfinished writes included."""

    async def probe(self) -> None:
        """Raise when the store cannot be written to."""


def conversion_prefix(tenant_id: uuid.UUID, conversion_id: uuid.UUID) -> str:
    """Where everything of one conversion lies; ends with `/`."""
    return f"tenants/{tenant_id}/conversions/{conversion_id}/"


def upload_key(tenant_id: uuid.UUID, conversion_id: uuid.UUID) -> str:
    return conversion_prefix(tenant_id, conversion_id) + "upload.jar"


def addon_key(tenant_id: uuid.UUID, conversion_id: uuid.UUID) -> str:
    return conversion_prefix(tenant_id, conversion_id) + "addon.mcaddon"


def preview_key(tenant_id: uuid.UUID, conversion_id: uuid.UUID, file_name: str) -> str:
    """`file_name` comes from the previews table, never from a request."""
    return f"{conversion_prefix(tenant_id, conversion_id)}previews/{file_name}"


def open_store(url: str) -> ObjectStore:
    """The store behind STORAGE_URL: file:///directory (made when absent) or s3://bucket/prefix."""
    parsed = urlparse(url)
    if parsed.scheme == "file":
        root = Path(unquote(parsed.path))
        return ObstoreStore(LocalStore(root, mkdir=True, automatic_cleanup=True), local_root=root)
    return ObstoreStore(from_url(url))


class ObstoreStore:
    """ObjectStore over any store of obstore's."""

    def __init__(self, store: obstore.store.ObjectStore, local_root: Path | None = None) -> None:
        self._store = store
        self._local_root = local_root

    async def put_stream(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        await obstore.put_async(self._store, key, chunks, chunk_size=WRITE_PART_BYTES, max_concurrency=2)

    async def put_file(self, key: str, path: Path) -> None:
        await obstore.put_async(self._store, key, path, chunk_size=WRITE_PART_BYTES, max_concurrency=2)

    async def get_file(self, key: str, path: Path) -> None:
        stat = await self.stat(key)
        if stat is None:
            raise ObjectNotFoundError(key)
        with path.open("wb") as file:
            async for chunk in self.stream(key, 0, stat.size_bytes):
                await asyncio.to_thread(file.write, chunk)

    async def stream(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        if start >= end:  # obstore refuses an empty range
            return
        try:
            result = await obstore.get_async(self._store, key, options={"range": (start, end)})
        except (NotFoundError, FileNotFoundError) as error:
            raise ObjectNotFoundError(key) from error
        async for chunk in result.stream(min_chunk_size=READ_CHUNK_BYTES):
            yield bytes(chunk)

    def open_reader(self, key: str) -> BinaryIO:
        try:
            size_bytes = obstore.head(self._store, key)["size"]
        except (NotFoundError, FileNotFoundError) as error:
            raise ObjectNotFoundError(key) from error

        def read_range(start: int, length: int) -> bytes:
            return bytes(obstore.get_range(self._store, key, start=start, length=length))

        return io.BufferedReader(_RangeReader(read_range, size_bytes), buffer_size=READ_CHUNK_BYTES)

    async def stat(self, key: str) -> ObjectStat | None:
        try:
            meta = await obstore.head_async(self._store, key)
        except (NotFoundError, FileNotFoundError):
            return None
        return ObjectStat(size_bytes=meta["size"], modified_at=meta["last_modified"])

    async def move(self, source: str, target: str) -> None:
        try:
            await obstore.rename_async(self._store, source, target)
        except (NotFoundError, FileNotFoundError) as error:
            raise ObjectNotFoundError(source) from error

    async def delete(self, key: str) -> None:
        try:
            await obstore.delete_async(self._store, key)
        except (NotFoundError, FileNotFoundError):
            return

    async def delete_prefix(self, prefix: str) -> int:
        keys = [meta["path"] async for batch in obstore.list(self._store, prefix) for meta in batch]
        for key in keys:
            await self.delete(key)
        return len(keys)

    async def list_older(self, prefix: str, *, before: datetime) -> AsyncIterator[str]:
        async for batch in obstore.list(self._store, prefix):
            for meta in batch:
                if meta["last_modified"] < before:
                    yield meta["path"]

    async def delete_older(self, prefix: str, *, before: datetime) -> int:
        count = 0
        async for key in self.list_older(prefix, before=before):
            await self.delete(key)
            count += 1
        if self._local_root is not None:
            count += await asyncio.to_thread(_delete_unfinished, self._local_root / prefix, before)
        return count

    async def probe(self) -> None:
        key = f"probes/{uuid.uuid4()}"
        await obstore.put_async(self._store, key, b"ok")
        await self.delete(key)


def _delete_unfinished(directory: Path, before: datetime) -> int:
    """Delete what a killed process left of its writes: obstore's `name#number` files, which it never lists."""
    count = 0
    for path in directory.glob("*#*") if directory.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):  # finished, or deleted by another replica
            if path.stat().st_mtime < before.timestamp():
                path.unlink()
                count += 1
    return count


class _RangeReader(io.RawIOBase):
    """A read-only seekable file over a function that reads byte ranges."""

    def __init__(self, read_range: Callable[[int, int], bytes], size_bytes: int) -> None:
        self._read_range = read_range
        self._size_bytes = size_bytes
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size_bytes}[whence]
        if base + offset < 0:
            raise ValueError("negative seek position")
        self._position = base + offset
        return self._position

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        length = min(len(buffer), self._size_bytes - self._position)
        if length <= 0:
            return 0
        data = self._read_range(self._position, length)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
