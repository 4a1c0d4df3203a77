"""The object store over a real directory: whole objects or none, ranges, prefixes and what a killed process leaves."""

import asyncio
import os
import uuid
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from common.storage import (
    ObjectNotFoundError,
    ObjectStore,
    addon_key,
    conversion_prefix,
    open_store,
    preview_key,
    upload_key,
)

PART = b"0123456789abcdef" * 65536  # 1 MiB


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "objects with space"


@pytest.fixture
def store(root: Path) -> ObjectStore:
    return open_store(root.as_uri())


async def stream_of(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


def files_under(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


async def test_a_stream_is_stored_and_read_by_ranges(store: ObjectStore) -> None:
    await store.put_stream("incoming/a", stream_of(*[PART] * 12, b"end"))
    stat = await store.stat("incoming/a")
    assert stat is not None
    assert stat.size_bytes == 12 * len(PART) + 3
    whole = b"".join([chunk async for chunk in store.stream("incoming/a", 0, stat.size_bytes)])
    assert whole == PART * 12 + b"end"
    tail = b"".join([chunk async for chunk in store.stream("incoming/a", stat.size_bytes - 5, stat.size_bytes)])
    assert tail == b"efend"
    assert [chunk async for chunk in store.stream("incoming/a", 4, 4)] == []


async def test_a_stream_that_breaks_leaves_nothing(store: ObjectStore, root: Path) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        for _ in range(12):
            yield PART
        raise ConnectionError("client went away")

    with pytest.raises(ConnectionError):
        await store.put_stream("incoming/a", breaking())
    assert files_under(root) == []


async def test_a_cancelled_stream_leaves_nothing(store: ObjectStore, root: Path) -> None:
    reached = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        for _ in range(12):
            yield PART
        reached.set()
        await asyncio.sleep(60)

    task = asyncio.create_task(store.put_stream("incoming/a", endless()))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):
        while files_under(root):  # noqa: ASYNC110 - the file system sends no event
            await asyncio.sleep(0.02)


async def test_reader_serves_zipfile(store: ObjectStore, tmp_path: Path) -> None:
    jar = tmp_path / "mod.jar"
    with zipfile.ZipFile(jar, "w") as archive:
        archive.writestr("fabric.mod.json", '{"id": "demo"}')
        archive.writestr("big.bin", PART, compress_type=zipfile.ZIP_STORED)
    await store.put_file("incoming/jar", jar)

    def read() -> bytes:
        with store.open_reader("incoming/jar") as file, zipfile.ZipFile(file) as archive:
            assert archive.testzip() is None
            return archive.read("fabric.mod.json")

    assert await asyncio.to_thread(read) == b'{"id": "demo"}'
    await store.get_file("incoming/jar", tmp_path / "copy.jar")
    assert (tmp_path / "copy.jar").read_bytes() == jar.read_bytes()


async def test_move_and_delete_prefix_stay_within_one_conversion(store: ObjectStore, root: Path) -> None:
    tenant, one, other = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    await store.put_stream("incoming/a", stream_of(b"jar"))
    await store.move("incoming/a", upload_key(tenant, one))
    await store.put_stream(addon_key(tenant, one), stream_of(b"addon"))
    await store.put_stream(preview_key(tenant, one, "1.png"), stream_of(b"png"))
    await store.put_stream(upload_key(tenant, other), stream_of(b"kept"))
    assert await store.delete_prefix(conversion_prefix(tenant, one)) == 3
    assert files_under(root) == [upload_key(tenant, other)]
    assert await store.delete_prefix(conversion_prefix(tenant, one)) == 0


async def test_absent_objects_are_told_by_one_error(store: ObjectStore, tmp_path: Path) -> None:
    assert await store.stat("incoming/none") is None
    await store.delete("incoming/none")
    with pytest.raises(ObjectNotFoundError):
        await store.move("incoming/none", "incoming/other")
    with pytest.raises(ObjectNotFoundError):
        store.open_reader("incoming/none")
    with pytest.raises(ObjectNotFoundError):
        await store.get_file("incoming/none", tmp_path / "x")
    with pytest.raises(ObjectNotFoundError):
        [chunk async for chunk in store.stream("incoming/none", 0, 5)]


async def test_a_sweep_deletes_old_objects_and_unfinished_writes_only(store: ObjectStore, root: Path) -> None:
    now = datetime.now(UTC)
    for name in ("incoming/old", "incoming/new", "tenants/old"):
        await store.put_stream(name, stream_of(b"x"))
    (root / "incoming/killed#1").write_bytes(b"part")
    (root / "incoming/running#1").write_bytes(b"part")
    two_hours_ago = (now - timedelta(hours=2)).timestamp()
    for name in ("incoming/old", "incoming/killed#1", "tenants/old"):
        os.utime(root / name, (two_hours_ago, two_hours_ago))
    assert await store.delete_older("incoming/", before=now - timedelta(hours=1)) == 2
    assert files_under(root) == ["incoming/new", "incoming/running#1", "tenants/old"]


async def test_listing_goes_on_while_what_it_lists_is_deleted(store: ObjectStore, root: Path) -> None:
    names = {f"tenants/{number % 7}/{number}/file" for number in range(1500)}
    for name in names:
        (root / name).parent.mkdir(parents=True)
        (root / name).write_bytes(b"x")
    seen = set()
    async for key in store.list_older("tenants/", before=datetime.now(UTC) + timedelta(hours=1)):
        seen.add(key)
        await store.delete_prefix(key.rpartition("/")[0] + "/")
    assert seen == names
    assert files_under(root) == []


async def test_probe_leaves_nothing(store: ObjectStore, root: Path) -> None:
    await store.probe()
    assert files_under(root) == []


async def test_probe_fails_when_the_store_cannot_be_written(tmp_path: Path) -> None:
    store = open_store((tmp_path / "gone").as_uri())
    await asyncio.to_thread((tmp_path / "gone").rmdir)
    await asyncio.to_thread((tmp_path / "gone").write_bytes, b"a file")
    with pytest.raises(Exception, match="gone"):
        await store.probe()
