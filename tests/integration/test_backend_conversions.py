"""A tenant sees, pages through, downloads and deletes its own conversions, and nobody else's."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.backend_process import BackendProcess, Stores
from tests.integration.backend_worker import ADDON, complete, sample_jar, tenant_of, upload, uploaded


@pytest.fixture
def visitor(backend: BackendProcess) -> Iterator[httpx.Client]:
    with backend.visitor() as client:
        yield client


@pytest.fixture
def queued(visitor: httpx.Client, tmp_path: Path) -> str:
    return uploaded(visitor, sample_jar(tmp_path))


@pytest.fixture
def completed(stores: Stores, queued: str) -> str:
    complete(stores, queued)
    return queued


def get(visitor: httpx.Client, path: str, **options: Any) -> httpx.Response:
    return visitor.get(f"/api/v1/conversions{path}", **options)


def test_a_conversion_tells_where_it_stands(visitor: httpx.Client, stores: Stores, queued: str) -> None:
    body = get(visitor, f"/{queued}").raise_for_status().json()
    assert body["mod"] == {"id": "gemcraft", "name": body["mod"]["name"], "version": "1.2.3", "loader": "fabric"}
    assert (body["status"], body["stage"], body["progress"]) == ("queued", "queued", 0)
    assert body["coverage"] is body["error"] is body["finished_at"] is None
    complete(stores, queued)
    body = get(visitor, f"/{queued}").json()
    assert (body["status"], body["stage"], body["progress"]) == ("completed", "done", 1)
    assert body["coverage"] == {
        "converted": 2,
        "approximated": 0,
        "unsupported": 1,
        "ignored": 1,
        "error": 1,
        "total": 5,
    }
    assert body["finished_at"] >= body["created_at"]
    assert get(visitor, f"/{queued}").json() == body, "from the cache it is the same"
    assert get(visitor, f"/{queued}").headers["cache-control"] == "no-store"


def test_a_failed_conversion_says_why(visitor: httpx.Client, stores: Stores, queued: str) -> None:
    stores.query(
        "UPDATE conversions SET status = 'failed', error_code = 'timeout', error_detail = 'Took too long.',"
        " finished_at = now() WHERE id = %s",
        queued,
    )
    body = get(visitor, f"/{queued}").json()
    assert (body["status"], body["error"]) == ("failed", {"code": "timeout", "detail": "Took too long."})
    answer = get(visitor, f"/{queued}/addon")
    assert (answer.status_code, answer.json()["code"]) == (409, "not_completed")


def test_the_list_is_newest_first_and_pages_lead_through_all(
    visitor: httpx.Client, stores: Stores, tmp_path: Path
) -> None:
    jar = sample_jar(tmp_path)
    made = [uploaded(visitor, jar) for _ in range(7)]
    # Equal moments, as after a bulk insert: the id decides, and no row is skipped or shown twice.
    stores.query("UPDATE conversions SET created_at = '2026-01-01' WHERE id = ANY(%s)", made[:4])
    seen: list[str] = []
    path = "/api/v1/conversions?limit=2"
    while path:
        answer = visitor.get(path).raise_for_status()
        assert len(answer.json()["items"]) <= 2
        seen += [item["id"] for item in answer.json()["items"]]
        link = answer.headers.get("link", "")
        assert bool(link) == (answer.json()["next_cursor"] is not None)
        found = re.fullmatch(r"<(/api/v1/conversions\?limit=2&cursor=[\w-]+)>; rel=\"next\"", link)
        path = found.group(1) if found else ""
    assert seen[:3] == made[:3:-1]
    assert sorted(seen) == sorted(made)
    assert seen[3:] == sorted(made[:4], key=uuid.UUID, reverse=True)


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("limit=0", 422, "validation_error"),
        ("limit=101", 422, "validation_error"),
        ("limit=x", 422, "validation_error"),
        ("cursor=%21%21", 400, "bad_cursor"),
        ("cursor=WzFd", 400, "bad_cursor"),
        ("cursor=WyJ4IiwieSJd", 400, "bad_cursor"),
    ],
)
def test_an_odd_page_is_refused(visitor: httpx.Client, query: str, status: int, code: str) -> None:
    answer = get(visitor, f"?{query}")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_session_begins_with_an_empty_list(visitor: httpx.Client, stores: Stores, tmp_path: Path) -> None:
    tenants = stores.counts()[0]
    first = get(visitor, "")
    assert first.json() == {"items": [], "next_cursor": None}
    session = visitor.cookies["modporter_session"]
    assert "set-cookie" not in get(visitor, "").headers
    assert stores.counts()[0] == tenants, "who only looks is not stored"
    jar, key = sample_jar(tmp_path), "the answer is lost"
    lost = upload(visitor, jar, key=key).json()["id"]
    visitor.cookies.clear()
    visitor.cookies.set("modporter_session", session)
    assert upload(visitor, jar, key=key).json()["id"] == lost


OTHERS = ("", "/addon", "/ledger", "/events", "/previews", "/previews/0.png", "/similar")


@pytest.mark.parametrize("route", OTHERS)
def test_what_is_anothers_does_not_exist(backend: BackendProcess, completed: str, route: str, tmp_path: Path) -> None:
    with backend.visitor() as stranger:
        assert get(stranger, f"/{completed}{route}").status_code == 404, "without a session"
        uploaded(stranger, sample_jar(tmp_path, "theirs.jar"))
        answer = get(stranger, f"/{completed}{route}")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert get(stranger, f"/{uuid.uuid4()}{route}").json()["detail"] == answer.json()["detail"]
        assert stranger.delete(f"/api/v1/conversions/{completed}").status_code == 404


def test_the_addon_comes_whole_in_parts_or_not_at_all(visitor: httpx.Client, completed: str) -> None:
    etag = f'"{hashlib.sha256(ADDON).hexdigest()}"'
    whole = get(visitor, f"/{completed}/addon")
    assert (whole.status_code, whole.content) == (200, ADDON)
    assert whole.headers["etag"] == etag
    assert whole.headers["content-length"] == str(len(ADDON))
    assert whole.headers["content-disposition"].startswith('attachment; filename="gemcraft-1.2.3.mcaddon"')
    for value in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        not_again = get(visitor, f"/{completed}/addon", headers={"If-None-Match": value})
        assert (not_again.status_code, not_again.content, not_again.headers["etag"]) == (304, b"", etag)
    head = visitor.head(f"/api/v1/conversions/{completed}/addon")
    assert (head.status_code, head.headers["content-length"], head.content) == (200, str(len(ADDON)), b"")


@pytest.mark.parametrize(
    ("wanted", "start", "end"),
    [("bytes=10-19", 10, 20), ("bytes=300000-", 300_000, None), ("bytes=-5", -5, None), ("bytes=0-99999999", 0, None)],
)
def test_one_range_is_served(visitor: httpx.Client, completed: str, wanted: str, start: int, end: int | None) -> None:
    answer = get(visitor, f"/{completed}/addon", headers={"Range": wanted})
    assert (answer.status_code, answer.content) == (206, ADDON[start:end])
    first = start if start >= 0 else len(ADDON) + start
    assert answer.headers["content-range"] == f"bytes {first}-{first + len(answer.content) - 1}/{len(ADDON)}"


@pytest.mark.parametrize("wanted", ["bytes=99999999-", "bytes=-0"])
def test_a_range_outside_is_refused(visitor: httpx.Client, completed: str, wanted: str) -> None:
    answer = get(visitor, f"/{completed}/addon", headers={"Range": wanted})
    assert (answer.status_code, answer.json()["code"]) == (416, "range_not_satisfiable")
    assert answer.headers["content-range"] == f"bytes */{len(ADDON)}"


@pytest.mark.parametrize(
    "headers",
    [
        {"Range": "bytes=0-1,4-5"},
        {"Range": "lines=1-2"},
        {"Range": "bytes=5-2"},
        {"Range": "bytes=0-1", "If-Range": '"x"'},
    ],
)
def test_a_range_that_may_be_ignored_gives_the_whole(
    visitor: httpx.Client, completed: str, headers: dict[str, str]
) -> None:
    assert get(visitor, f"/{completed}/addon", headers=headers).content == ADDON


def test_a_hostile_mod_id_cannot_leave_the_header(visitor: httpx.Client, stores: Stores, completed: str) -> None:
    stores.query("UPDATE conversions SET mod_id = %s, mod_version = '' WHERE id = %s", '../é"\r\nX-Evil: 1/', completed)
    answer = get(visitor, f"/{completed}/addon")
    assert answer.status_code == 200
    assert "x-evil" not in answer.headers
    assert re.match(
        r'attachment; filename="[A-Za-z0-9._ -]+\.mcaddon"; filename\*=UTF-8', answer.headers["content-disposition"]
    )


def test_deleting_removes_rows_files_and_cached_answers(visitor: httpx.Client, stores: Stores, completed: str) -> None:
    tenant = tenant_of(stores, completed)
    for path in ("", "/ledger"):
        get(visitor, f"/{completed}{path}").raise_for_status()  # fills the cache
    assert visitor.delete(f"/api/v1/conversions/{completed}").status_code == 204
    for path in ("", "/ledger", "/addon"):
        assert get(visitor, f"/{completed}{path}").status_code == 404
    assert visitor.delete(f"/api/v1/conversions/{completed}").status_code == 404
    assert not [file for file in stores.files() if completed in file]
    assert stores.query("SELECT count(*) FROM ledger_rows WHERE conversion_id = %s", completed) == [(0,)]
    assert stores.query("SELECT topic, payload FROM outbox WHERE tenant_id = %s ORDER BY id DESC LIMIT 1", tenant) == [
        ("conversion.deleted", {"conversion_id": completed})
    ]


@pytest.mark.parametrize("status", ["queued", "running"])
def test_an_unfinished_conversion_can_be_deleted(
    visitor: httpx.Client, stores: Stores, queued: str, status: str
) -> None:
    stores.query("UPDATE conversions SET status = %s WHERE id = %s", status, queued)
    assert visitor.delete(f"/api/v1/conversions/{queued}").status_code == 204
    assert not [file for file in stores.files() if queued in file]


def test_a_key_is_free_again_after_a_deletion(visitor: httpx.Client, tmp_path: Path) -> None:
    jar = sample_jar(tmp_path)
    files, headers = {"file": ("a.jar", jar.read_bytes())}, {"Idempotency-Key": "again"}
    first = visitor.post("/api/v1/conversions", files=files, headers=headers).json()["id"]
    visitor.delete(f"/api/v1/conversions/{first}")
    second = visitor.post("/api/v1/conversions", files=files, headers=headers)
    assert second.status_code == 202
    assert second.json()["id"] != first


def test_previews_are_listed_and_served(visitor: httpx.Client, completed: str) -> None:
    [preview] = get(visitor, f"/{completed}/previews").raise_for_status().json()
    assert preview == {
        "java_id": "a:ruby",
        "kind": "item",
        "url": f"/api/v1/conversions/{completed}/previews/0.png",
        "width": 16,
        "height": 16,
    }
    picture = visitor.get(preview["url"])
    assert (picture.content, picture.headers["content-type"]) == (b"\x89PNG", "image/png")
    assert get(visitor, f"/{completed}/previews/1.png").status_code == 404
    for name in ("..%2Fupload.jar", "..%2F..%2F..", "%2Fetc%2Fpasswd", "a%00.png"):
        assert get(visitor, f"/{completed}/previews/{name}").status_code in (404, 422)


def test_the_documentation_needs_nothing_from_elsewhere(visitor: httpx.Client) -> None:
    page = visitor.get("/api/docs").raise_for_status()
    assert "//" not in page.text.replace("<!doctype html>", "")
    assert not re.search(r"<script>|style=|onload=", page.text)
    for asset in re.findall(r'(?:src|href)="(/[^"]+)"', page.text):
        assert visitor.get(asset).status_code == 200, asset
    description = visitor.get("/api/openapi.json").raise_for_status().json()
    assert description["paths"].keys() >= {
        "/api/v1/conversions",
        "/api/v1/conversions/{conversion_id}/addon",
        "/api/v1/conversions/{conversion_id}/events",
        "/api/v1/concepts/{java_id}",
        "/api/v1/search",
    }
    upload_body = description["paths"]["/api/v1/conversions"]["post"]["requestBody"]
    assert "multipart/form-data" in upload_body["content"]


def test_prepared_statements_survive_the_pool(visitor: httpx.Client, stores: Stores, completed: str) -> None:
    """psycopg prepares after five times, and pgBouncer gives each transaction another server connection."""
    for _ in range(30):
        assert get(visitor, f"/{completed}/previews").status_code == 200
        assert get(visitor, "?limit=1").status_code == 200
