"""Bad input gets a clear answer, and nothing of it is kept.

Tried here, all through HTTPS and NGINX: every file of tests/fixtures/bad_jars.py, 100 MB and one byte, an announced
giant, two fields, another field, an empty form, no form, a wrong content type, a client that goes away half-way.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.e2e.journeys import upload, wait_for_end
from tests.e2e.stack import Stack, eventually
from tests.fixtures.bad_jars import BAD_JARS, write_bad_jar
from tests.fixtures.sample_mod import build_sample_mod

LIMIT_BYTES = 100_000_000


@pytest.fixture
def nothing_kept(stack: Stack) -> Iterator[None]:
    """What is stored must be as before, once the scenario is over."""
    stack.wait_until_idle()
    before = stack.stored_at_rest()
    yield
    eventually(lambda: stack.stored() == before, within_seconds=20)


def problem(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["code"] == code, body
    assert body["type"] == f"urn:modporter:problem:{code}"
    assert len(body["detail"]) > 10, "a sentence that says what is wrong"


def test_each_file_that_is_no_mod_is_refused_with_its_reason(
    visitor: httpx.Client, tmp_path: Path, nothing_kept: None, subtests: pytest.Subtests
) -> None:
    for what in BAD_JARS:
        with subtests.test(what):
            path = tmp_path / "bad.jar"
            code = write_bad_jar(what, path)
            problem(upload(visitor, path), 413 if code == "too_large" else 422, code)


HEAD = (
    "POST /api/v1/conversions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n"
    "Content-Type: multipart/form-data; boundary=b\r\n\r\n"
    '--b\r\nContent-Disposition: form-data; name="file"; filename="half.jar"\r\n\r\n'
)


@contextmanager
def connected(stack: Stack) -> Iterator[ssl.SSLSocket]:
    """A connection on which a test decides itself what to send and when to stop."""
    address = urlsplit(stack.base_url)
    with (
        socket.create_connection((address.hostname, address.port), timeout=10) as plain,
        stack.tls().wrap_socket(plain, server_hostname=address.hostname) as connection,
    ):
        yield connection


def body_of(size: int) -> Iterator[bytes]:
    """A form with one file of `size` bytes, a piece at a time."""
    yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="big.jar"\r\n\r\n'
    piece = bytes(1_000_000)
    for _ in range(size // len(piece)):
        yield piece
    yield bytes(size % len(piece))
    yield b"\r\n--b--\r\n"


FORM = {"Content-Type": "multipart/form-data; boundary=b"}


def test_one_byte_too_many_is_refused(visitor: httpx.Client, nothing_kept: None) -> None:
    problem(visitor.post("/api/v1/conversions", content=body_of(LIMIT_BYTES + 1), headers=FORM), 413, "too_large")


def test_an_announced_giant_is_refused_before_it_is_sent(stack: Stack, nothing_kept: None) -> None:
    with connected(stack) as connection:
        connection.sendall(HEAD.format(length=10**9).encode() + b"the first bytes")
        assert connection.recv(12) == b"HTTP/1.1 413"


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b'{"file": "no"}', {"Content-Type": "application/json"}, 415),
        (b"", {"Content-Type": "multipart/form-data"}, 400),
        (b"garbage", FORM, 400),
        (b"--b--\r\n", FORM, 400),
        (
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.jar"\r\n\r\nx\r\n'
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="b.jar"\r\n\r\ny\r\n--b--\r\n',
            FORM,
            400,
        ),
        (b'--b\r\nContent-Disposition: form-data; name="other"; filename="a.jar"\r\n\r\nx\r\n--b--\r\n', FORM, 400),
    ],
    ids=["JSON", "no boundary", "no form", "an empty form", "two fields", "another field"],
)
def test_a_request_that_is_no_upload_is_refused(
    visitor: httpx.Client, body: bytes, headers: dict[str, str], status: int, nothing_kept: None
) -> None:
    answer = visitor.post("/api/v1/conversions", content=body, headers=headers)
    assert answer.status_code in (status, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_client_that_stops_half_way_leaves_nothing(stack: Stack, mod: Path, nothing_kept: None) -> None:
    with connected(stack) as connection:
        connection.sendall(HEAD.format(length=5_000_000).encode() + mod.read_bytes())
        connection.settimeout(1)
        with pytest.raises(TimeoutError):  # no answer: the rest is waited for
            connection.recv(1)


def test_a_jar_with_broken_parts_is_converted_around_them(visitor: httpx.Client, tmp_path: Path) -> None:
    """A PNG that lies about its size, one of 30,000 px, a truncated one, and JSON 200 levels deep."""
    path = tmp_path / "broken.jar"
    build_sample_mod(path, damages=("lying_png", "huge_png", "truncated_png", "deep_json"))
    conversion = wait_for_end(visitor, upload(visitor, path).json()["id"])
    assert conversion["status"] == "completed", conversion
    assert conversion["coverage"]["error"] >= 4
    visitor.delete(f"/api/v1/conversions/{conversion['id']}")
