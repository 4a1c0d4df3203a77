"""Whatever way a body is cut into pieces, the same file comes out, or the same refusal."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from backend.conversions.multipart import RequestBody, UploadedFile, boundary_of, clean_file_name
from common.problems import Problem

BOUNDARY = b"----boundary"


def body_of(content: bytes, disposition: str = 'form-data; name="file"; filename="a.jar"') -> bytes:
    head = f"Content-Disposition: {disposition}\r\nContent-Type: application/java-archive\r\n\r\n".encode()
    return b"--" + BOUNDARY + b"\r\n" + head + content + b"\r\n--" + BOUNDARY + b"--\r\n"


def cut(body: bytes, at: Sequence[int]) -> list[bytes]:
    places = sorted({0, len(body), *(place % (len(body) + 1) for place in at)})
    return [body[start:end] for start, end in pairwise(places)]


def received(pieces: Sequence[bytes], *, is_cut_off: bool = False) -> RequestBody:
    messages: list[Message] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    messages.append({"type": "http.disconnect"} if is_cut_off else {"type": "http.request", "body": b""})

    async def receive() -> Message:
        return messages.pop(0)

    return RequestBody(receive)


async def read(body: RequestBody, max_bytes: int = 1_000_000) -> tuple[UploadedFile, bytes]:
    upload = UploadedFile(body, BOUNDARY, max_bytes)
    return upload, b"".join([chunk async for chunk in upload.chunks()])


@given(content=st.binary(max_size=300), at=st.lists(st.integers(0, 1000), max_size=30))
async def test_a_file_arrives_whole_however_it_is_cut(content: bytes, at: list[int]) -> None:
    upload, found = await read(received(cut(body_of(content), at)))
    assert found == content
    assert (upload.size_bytes, upload.file_name) == (len(content), "a.jar")
    assert upload.sha256 == hashlib.sha256(content).hexdigest()


@given(at=st.lists(st.integers(0, 1000), max_size=30))
async def test_what_looks_like_the_boundary_is_content(at: list[int]) -> None:
    content = b"\r\n--" + BOUNDARY[:-1] + b"\r\n--\r\n" + BOUNDARY
    _, found = await read(received(cut(body_of(content), at)))
    assert found == content


@given(size=st.integers(0, 200), at=st.lists(st.integers(0, 1000), max_size=10))
async def test_the_size_limit_is_exact(size: int, at: list[int]) -> None:
    body = received(cut(body_of(bytes(size)), at))
    if size <= 100:
        assert (await read(body, max_bytes=100))[1] == bytes(size)
    else:
        with pytest.raises(Problem) as caught:
            await read(body, max_bytes=100)
        assert (caught.value.status, caught.value.code) == (413, "too_large")


@given(keep=st.integers(0, 150), is_cut_off=st.booleans())
async def test_a_body_without_its_end_is_no_upload(keep: int, is_cut_off: bool) -> None:
    body = body_of(b"content")
    with pytest.raises(Problem) as caught:
        await read(received([body[: min(keep, len(body) - 6)]], is_cut_off=is_cut_off))
    assert caught.value.status == 400
    assert caught.value.code == ("upload_interrupted" if is_cut_off else "malformed_multipart")


@pytest.mark.parametrize(
    ("disposition", "code"),
    [
        ('form-data; name="file"', "unexpected_field"),
        ('form-data; name="other"; filename="a.jar"', "unexpected_field"),
        ('form-data; filename="a.jar"', "unexpected_field"),
        ('attachment; name="file"; filename="a.jar"', "malformed_multipart"),
    ],
)
async def test_a_part_must_be_the_one_file(disposition: str, code: str) -> None:
    with pytest.raises(Problem) as caught:
        await read(received([body_of(b"x", disposition)]))
    assert caught.value.code == code


async def test_headers_without_end_are_refused_and_not_collected() -> None:
    endless = [b"--" + BOUNDARY + b"\r\nX-Long: ", *[b"a" * 50_000] * 40]
    with pytest.raises(Problem) as caught:
        await read(received(endless))
    assert caught.value.code in ("malformed_multipart", "too_large")


async def test_a_long_epilogue_counts_towards_the_limit() -> None:
    with pytest.raises(Problem) as caught:
        await read(received([body_of(b"x"), *[b"junk" * 10_000] * 30]), max_bytes=1000)
    assert caught.value.code == "too_large"


async def test_discarding_reads_to_the_end_and_never_past_it() -> None:
    body = received([b"a", b"b"])
    await body.discard()
    await body.discard()  # another receive() would fail: no message is left
    assert [chunk async for chunk in body.chunks()] == []


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        (None, 415),
        ("", 415),
        ("application/json", 415),
        ("multipart/mixed; boundary=b", 415),
        ("multipart/form-data", 400),
        ("multipart/form-data; boundary=", 400),
        (f"multipart/form-data; boundary={'b' * 71}", 400),
    ],
)
def test_a_type_without_a_usable_boundary_is_refused(content_type: str | None, status: int) -> None:
    with pytest.raises(Problem) as caught:
        boundary_of(content_type)
    assert caught.value.status == status


def test_a_quoted_boundary_is_understood() -> None:
    assert boundary_of('multipart/form-data; charset=utf-8; boundary="a b"') == b"a b"


@pytest.mark.parametrize(
    ("given_name", "kept"),
    [
        ("mod.jar", "mod.jar"),
        ("C:\\Users\\me\\mod.jar", "mod.jar"),
        ("../../etc/passwd", "passwd"),
        ("a\x00b\r\nc\u202e.jar", "abc.jar"),
        ("Grünes Schwert.jar", "Grünes Schwert.jar"),
        ("", "upload.jar"),
        ("folder/", "upload.jar"),
        ("x" * 400 + ".jar", "x" * 251 + ".jar"),
    ],
)
def test_a_file_name_is_kept_as_far_as_it_is_harmless(given_name: str, kept: str) -> None:
    assert clean_file_name(given_name) == kept
