"""An upload is stored whole with its conversion and its job, or refused with its reason and nothing is kept."""

from __future__ import annotations

import asyncio
import concurrent.futures
import socket
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import procrastinate
import pytest

from tests.fixtures.bad_jars import BAD_JARS, write_bad_jar
from tests.integration.backend_process import BackendProcess, Stores
from tests.integration.backend_worker import complete, sample_jar, tenant_of, upload, uploaded

FORM = {"Content-Type": "multipart/form-data; boundary=b"}
LIMIT_BYTES = 12_000_000


@pytest.fixture
def visitor(backend: BackendProcess) -> Iterator[httpx.Client]:
    with backend.visitor() as client:
        yield client


@pytest.fixture
def jar(tmp_path: Path) -> Path:
    return sample_jar(tmp_path)


@pytest.fixture
def nothing_kept(stores: Stores) -> Iterator[None]:
    """Storage and tables must be as before, once the test is over."""
    before = (stores.files(), stores.counts())
    yield
    eventually(lambda: (stores.files(), stores.counts()) == before)


def eventually(is_so: Callable[[], bool], within_seconds: float = 10) -> None:
    deadline = time.monotonic() + within_seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def refused(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == code
    assert "set-cookie" not in answer.headers


def test_an_upload_becomes_a_conversion_a_file_and_a_job(stores: Stores, visitor: httpx.Client, jar: Path) -> None:
    answer = upload(visitor, jar, name="C:\\mods\\My Mod.jar")
    assert answer.status_code == 202
    identifier = answer.json()["id"]
    assert answer.json() == {"id": identifier, "status": "queued"}
    assert answer.headers["location"] == f"/api/v1/conversions/{identifier}"
    [[tenant, status, name, size, job_id]] = stores.query(
        "SELECT tenant_id, status, file_name, file_size_bytes, job_id FROM conversions WHERE id = %s", identifier
    )
    assert (status, name, size) == ("queued", "My Mod.jar", jar.stat().st_size)
    stored = stores.objects / f"tenants/{tenant}/conversions/{identifier}/upload.jar"
    assert stored.read_bytes() == jar.read_bytes()
    assert stores.query(
        "SELECT status::text, task_name, queue_name, priority, args FROM procrastinate_jobs WHERE id = %s", job_id
    ) == [("todo", "convert", "conversions", 0, {"conversion_id": identifier})]
    assert not [file for file in stores.files() if file.startswith("incoming/")]


def test_the_job_can_be_run_by_the_queue_library(stores: Stores, visitor: httpx.Client, jar: Path) -> None:
    """The row that we defer is one that a worker of the installed version takes, through the tables' own functions."""
    identifier = uploaded(visitor, jar)
    app = procrastinate.App(
        connector=procrastinate.PsycopgConnector(
            conninfo=f"host=127.0.0.1 port={stores.postgres.port} dbname=modporter user=modporter_app",
            kwargs={"password": stores.secrets["database_app_password"]},
        )
    )
    taken: list[str] = []

    @app.task(name="convert")
    async def convert(conversion_id: str) -> None:
        taken.append(conversion_id)

    async def work() -> None:
        async with app.open_async(), asyncio.timeout(30):
            await app.run_worker_async(queues=["conversions"], wait=False, install_signal_handlers=False)

    asyncio.run(work())
    assert identifier in taken


def test_the_cookie_is_given_once_accepted_and_owns_the_conversion(
    backend: BackendProcess, stores: Stores, visitor: httpx.Client, jar: Path
) -> None:
    first = upload(visitor, jar)
    cookie = first.headers["set-cookie"]
    assert cookie.startswith("modporter_session=")
    for flag in ("HttpOnly", "SameSite=lax", "Max-Age=31536000", "Path=/"):
        assert flag in cookie
    second = upload(visitor, jar)
    assert tenant_of(stores, first.json()["id"]) == tenant_of(stores, second.json()["id"])
    with backend.visitor() as stranger:
        assert stranger.get(f"/api/v1/conversions/{first.json()['id']}").status_code == 404
        stranger.cookies.set("modporter_session", visitor.cookies["modporter_session"][:-2] + "xx")
        assert stranger.get(f"/api/v1/conversions/{first.json()['id']}").status_code == 404
    assert visitor.get(f"/api/v1/conversions/{first.json()['id']}").status_code == 200


# The size limit has tests of its own, with a body that is made while it is sent.
@pytest.mark.parametrize("what", [what for what, (code, _) in BAD_JARS.items() if code != "too_large"])
def test_a_bad_jar_is_refused_with_its_reason(
    visitor: httpx.Client, tmp_path: Path, nothing_kept: None, what: str
) -> None:
    code = write_bad_jar(what, tmp_path / "bad.jar")
    refused(upload(visitor, tmp_path / "bad.jar"), 422, code)


def part(content: bytes = b"x", *, name: str = "file", filename: str | None = "a.jar") -> bytes:
    named = f'; filename="{filename}"' if filename is not None else ""
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'
    return head.encode() + content + b"\r\n"


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"{}", {"Content-Type": "application/json"}, 415, "unsupported_media_type"),
        (b"PK", {}, 415, "unsupported_media_type"),
        (b"", {"Content-Type": "multipart/form-data"}, 400, "malformed_multipart"),
        (b"", FORM, 400, "malformed_multipart"),
        (b"garbage", FORM, 400, "malformed_multipart"),
        (b"--b--\r\n", FORM, 400, "malformed_multipart"),
        (part(), FORM, 400, "malformed_multipart"),
        (b"--b\r\n\r\nx\r\n--b--\r\n", FORM, 400, "malformed_multipart"),
        (part() + part(filename="b.jar") + b"--b--\r\n", FORM, 400, "unexpected_field"),
        (part(name="other") + b"--b--\r\n", FORM, 400, "unexpected_field"),
        (part(filename=None) + b"--b--\r\n", FORM, 400, "unexpected_field"),
        (part(b"") + b"--b--\r\n", FORM, 422, "empty_file"),
        (part(b"not a zip") + b"--b--\r\n", FORM, 422, "not_a_zip"),
    ],
    ids=[
        "JSON",
        "no type",
        "no boundary",
        "empty body",
        "garbage",
        "empty form",
        "no end",
        "no name",
        "two files",
        "another field",
        "text field",
        "empty file",
        "no zip",
    ],
)
def test_a_request_that_is_no_upload_is_refused(
    visitor: httpx.Client, nothing_kept: None, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    refused(visitor.post("/api/v1/conversions", content=body, headers=headers), status, code)


def stream_of(size: int) -> Iterator[bytes]:
    yield part()[: -len(b"x\r\n")]
    for _ in range(size // 50_000):
        yield bytes(50_000)
    yield bytes(size % 50_000)
    yield b"\r\n--b--\r\n"


def test_one_byte_too_many_is_refused_while_streaming(visitor: httpx.Client, nothing_kept: None) -> None:
    """Chunked, so that no Content-Length tells it in advance."""
    refused(visitor.post("/api/v1/conversions", content=stream_of(LIMIT_BYTES + 1), headers=FORM), 413, "too_large")
    refused(visitor.post("/api/v1/conversions", content=stream_of(LIMIT_BYTES), headers=FORM), 422, "not_a_zip")


def test_a_much_larger_body_gets_its_answer_too(visitor: httpx.Client, nothing_kept: None) -> None:
    refused(visitor.post("/api/v1/conversions", content=stream_of(2 * LIMIT_BYTES), headers=FORM), 413, "too_large")


def test_an_announced_giant_is_refused_unread(visitor: httpx.Client, nothing_kept: None) -> None:
    body = bytes(LIMIT_BYTES + 1_000_000)
    began = time.monotonic()
    refused(visitor.post("/api/v1/conversions", content=body, headers=FORM), 413, "too_large")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("kilobytes", [0, 1, 7500])
def test_a_client_that_stops_half_way_leaves_nothing(
    backend: BackendProcess, nothing_kept: None, kilobytes: int
) -> None:
    head = (
        b"POST /api/v1/conversions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n"
        b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", backend.port), timeout=10) as connection:
        connection.sendall(head + part()[:-3] + bytes(kilobytes * 1000))
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(1)


def test_the_same_key_and_file_is_the_same_conversion(
    stores: Stores, visitor: httpx.Client, jar: Path, tmp_path: Path
) -> None:
    first = upload(visitor, jar, key="key-1")
    files, counts = stores.files(), stores.counts()
    again = upload(visitor, jar, key="key-1")
    assert (again.status_code, again.json()) == (202, first.json())
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers

    other = sample_jar(tmp_path, "other.jar", loader="forge")
    for answer in (upload(visitor, other, key="key-1"), upload(visitor, jar, name="renamed.jar", key="key-1")):
        refused(answer, 409, "idempotency_conflict")
    assert (stores.files(), stores.counts()) == (files, counts)
    assert upload(visitor, jar, key="key-2").json()["id"] != first.json()["id"]

    complete(stores, first.json()["id"])
    assert upload(visitor, jar, key="key-1").json() == {"id": first.json()["id"], "status": "completed"}


def test_a_key_is_one_tenants_own(backend: BackendProcess, visitor: httpx.Client, jar: Path) -> None:
    mine = upload(visitor, jar, key="shared-key")
    with backend.visitor() as stranger:
        theirs = upload(stranger, jar, key="shared-key")
    assert theirs.status_code == 202
    assert theirs.json()["id"] != mine.json()["id"]


def test_the_same_key_at_the_same_moment_is_one_conversion(
    backend: BackendProcess, stores: Stores, visitor: httpx.Client, jar: Path
) -> None:
    uploaded(visitor, jar)
    files, counts = stores.files(), stores.counts()
    cookies = dict(visitor.cookies)

    def post(_number: int) -> httpx.Response:
        with httpx.Client(base_url=backend.base_url, cookies=cookies, timeout=60) as client:
            return upload(client, jar, key="at-once")

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, range(8)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 7
    assert stores.counts() == (counts[0], counts[1] + 1, counts[2] + 1)
    assert len(stores.files()) == len(files) + 1


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there"])
def test_an_odd_key_is_refused(visitor: httpx.Client, jar: Path, nothing_kept: None, key: str) -> None:
    refused(upload(visitor, jar, key=key), 400, "bad_idempotency_key")


def test_a_failing_transaction_takes_the_file_back(stores: Stores, jar: Path) -> None:
    before, counts = stores.files(), stores.counts()
    with (
        BackendProcess(stores, may_log_errors=True) as backend,
        backend.visitor() as visitor,
        stores.connect() as connection,
    ):
        connection.execute("ALTER TABLE procrastinate_jobs ADD CONSTRAINT refuse CHECK (id < 0) NOT VALID")
        try:
            answer = upload(visitor, jar)
        finally:
            connection.execute("ALTER TABLE procrastinate_jobs DROP CONSTRAINT refuse")
    assert answer.status_code == 500
    assert answer.json()["code"] == "internal_error"
    assert "refuse" not in answer.text
    assert (stores.files(), stores.counts()) == (before, counts)


def test_a_failing_commit_keeps_the_file_because_the_row_may_exist(stores: Stores, jar: Path) -> None:
    before, counts = stores.files(), stores.counts()
    with (
        BackendProcess(stores, may_log_errors=True) as backend,
        backend.visitor() as visitor,
        stores.connect() as connection,
    ):
        connection.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused late'; END $$"
        )
        connection.execute(
            "CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON conversions"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
        try:
            answer = upload(visitor, jar)
        finally:
            connection.execute("DROP FUNCTION refuse CASCADE")
    assert answer.status_code == 500
    assert stores.counts() == counts
    [kept] = stores.files() - before
    assert kept.endswith("/upload.jar"), "for the sweep, which knows whether the row exists"
    (stores.objects / kept).unlink()


def test_large_jars_wait_behind_small_ones(stores: Stores, tmp_path: Path) -> None:
    jar = sample_jar(tmp_path, "large.jar")
    with zipfile.ZipFile(jar, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr("filler.bin", bytes(26_000_000))
    with BackendProcess(stores, MAX_UPLOAD_MB="40") as backend, backend.visitor() as visitor:
        small = uploaded(visitor, sample_jar(tmp_path, "small.jar"))
        large = uploaded(visitor, jar)
    priorities = dict(
        stores.query(
            "SELECT args->>'conversion_id', priority FROM procrastinate_jobs WHERE args->>'conversion_id' = ANY(%s)",
            [small, large],
        )
    )
    assert priorities == {small: 0, large: -10}


def test_uploads_of_one_address_are_limited(stores: Stores, jar: Path) -> None:
    client = f"2001:db8:{uuid.uuid4().hex[:4]}:1::"
    with BackendProcess(stores, UPLOAD_RATE="3") as backend, backend.visitor() as visitor:
        answers = [
            visitor.post(
                "/api/v1/conversions",
                files={"file": ("a.jar", jar.read_bytes())},
                headers={"X-Forwarded-For": f"{client}{number + 1}"},  # one network, several addresses
            )
            for number in range(5)
        ]
        other = visitor.post(
            "/api/v1/conversions",
            files={"file": ("a.jar", jar.read_bytes())},
            headers={"X-Forwarded-For": f"198.51.100.{uuid.uuid4().int % 250}"},
        )
    assert [answer.status_code for answer in answers] == [202, 202, 202, 429, 429]
    assert answers[-1].json()["code"] == "rate_limited"
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    assert other.status_code == 202
