"""The small parts: cursors, ranges, names, cells, client networks, the session cookie."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response

from backend.conversions.service import parse_cursor
from backend.conversions.tasks import conversion_prefixes
from backend.kit.downloads import content_disposition, matches, parse_range, safe_stem
from backend.kit.pagination import MAX_NUMBER, decode_cursor, encode_cursor
from backend.kit.rate_limit import client_network
from backend.kit.session_cookie import COOKIE, SessionCookie
from backend.ledger.endpoints import prefers_csv
from backend.ledger.service import harmless, to_csv
from backend.settings import BackendSettings
from common.problems import Problem
from common.storage import addon_key, conversion_prefix, upload_key


@given(st.text(max_size=50), st.integers(0, MAX_NUMBER))
def test_a_cursor_brings_back_what_went_in(text: str, number: int) -> None:
    assert decode_cursor(encode_cursor([text, number]), [str, int]) == [text, number]


@given(st.text(max_size=80))
def test_any_other_cursor_is_refused(text: str) -> None:
    with pytest.raises(Problem) as caught:
        decode_cursor(text, [str, int, str])
    assert caught.value.code == "bad_cursor"


@pytest.mark.parametrize("forged", [True, -1, MAX_NUMBER + 1, 10**300])
def test_what_is_no_position_is_refused(forged: int) -> None:
    with pytest.raises(Problem) as caught:
        decode_cursor(encode_cursor([forged]), [int])
    assert caught.value.code == "bad_cursor"


def test_a_moment_is_taken_to_utc() -> None:
    cursor = encode_cursor(["2026-01-02T00:00:00+23:59", str(uuid.UUID(int=7))])
    assert parse_cursor(cursor) == (datetime(2026, 1, 1, 0, 1, tzinfo=UTC), uuid.UUID(int=7))
    assert parse_cursor(cursor)[0].tzinfo is UTC


@pytest.mark.parametrize("forged", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-01-01", "x"])
def test_a_moment_that_cannot_be_is_refused(forged: str) -> None:
    with pytest.raises(Problem) as caught:
        parse_cursor(encode_cursor([forged, str(uuid.UUID(int=7))]))
    assert caught.value.code == "bad_cursor"


@given(size=st.integers(1, 1000), first=st.integers(0, 1200), length=st.integers(0, 1200))
def test_a_range_is_what_slicing_gives(size: int, first: int, length: int) -> None:
    content = bytes(index % 251 for index in range(size))
    header = f"bytes={first}-{first + length}"
    if first >= size:
        with pytest.raises(Problem) as caught:
            parse_range(header, size)
        assert caught.value.status == 416
    else:
        found = parse_range(header, size)
        assert found is not None
        assert content[slice(*found)] == content[first : first + length + 1]


@given(size=st.integers(1, 1000), count=st.integers(1, 1200))
def test_a_suffix_range_is_the_end(size: int, count: int) -> None:
    assert parse_range(f"bytes=-{count}", size) == (max(0, size - count), size)


@pytest.mark.parametrize("header", ["bytes=", "bytes=-", "bytes=1-0", "bytes=a-b", "items=0-1", "bytes=0-1,3-4", ""])
def test_an_odd_range_is_ignored(header: str) -> None:
    assert parse_range(header, 100) is None


def test_if_none_match() -> None:
    assert matches('"a"', '"a"')
    assert matches('W/"a"', '"a"')
    assert matches('"b", "a"', '"a"')
    assert matches("*", '"a"')
    assert not matches('"b"', '"a"')
    assert not matches(None, '"a"')


@given(st.text(max_size=300))
def test_no_name_breaks_the_header(name: str) -> None:
    header = content_disposition(f"{safe_stem(name)}.mcaddon")
    assert header.isascii()
    assert header.isprintable()
    plain = header.split('"')[1]
    assert plain.endswith(".mcaddon") or plain == "mcaddon"
    assert not set(plain) & set('/\\:"\r\n')


@given(st.text(max_size=30))
def test_no_cell_is_a_formula(cell: str) -> None:
    assert harmless(cell)[:1] not in ("=", "+", "-", "@", "\t", "\r", "\n")
    assert harmless(cell) in (cell, f"'{cell}")


def test_csv_quotes_what_needs_it() -> None:
    assert to_csv([("a", 'b"c', "d,e", "f\ng")]) == b'a,"b""c","d,e","f\ng"\r\n'


@pytest.mark.parametrize(
    ("accept", "is_csv"),
    [
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("text/csv", True),
        ("text/csv, */*", True),
        ("text/csv;q=0.9, application/json", False),
        ("TEXT/CSV;q=1.0, application/json;q=0.5", True),
        ("text/csv;q=0", False),
        ("text/csv;q=x", False),
    ],
)
def test_csv_is_given_to_who_prefers_it(accept: str, is_csv: bool) -> None:
    assert prefers_csv(accept) is is_csv


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("", "unknown"),
        ("cache:conversion:*", "unknown"),
    ],
)
def test_who_counts_as_one_client(address: str, client: str) -> None:
    assert client_network(address) == client


def request_with(cookie: str) -> Request:
    return Request({"type": "http", "headers": [(b"cookie", f"{COOKIE}={cookie}".encode())]})


def cookie_of(settings: BackendSettings, tenant: uuid.UUID) -> str:
    response = Response()
    SessionCookie(settings).give(response, tenant)
    return response.headers["set-cookie"]


def test_the_cookie_brings_back_its_tenant_and_no_other_key_does(settings: BackendSettings) -> None:
    tenant = uuid.uuid4()
    value = cookie_of(settings, tenant).split("=", 1)[1].split(";")[0]
    assert SessionCookie(settings).tenant_of(request_with(value)) == tenant
    other = settings.model_copy(update={"session_key": settings.neo4j_password})
    assert SessionCookie(other).tenant_of(request_with(value)) is None
    for forged in ("", "x", value[:-1], tenant.hex, value.split(".", maxsplit=1)[0]):
        assert SessionCookie(settings).tenant_of(request_with(forged)) is None


def test_the_cookie_is_secure_in_production(settings: BackendSettings) -> None:
    production = settings.model_copy(update={"environment": "production"})
    assert "Secure" in cookie_of(production, uuid.uuid4())
    assert "HttpOnly" in cookie_of(production, uuid.uuid4())


async def listing(*keys: str) -> AsyncIterator[str]:
    for key in keys:
        yield key


async def test_the_sweep_only_knows_keys_of_conversions() -> None:
    tenant, conversion = uuid.uuid4(), uuid.uuid4()
    keys = [upload_key(tenant, conversion), f"tenants/{tenant}/other", "tenants/x/conversions/../y", "incoming/a"]
    found = [batch async for batch in conversion_prefixes(listing(*keys))]
    assert found == [{conversion: conversion_prefix(tenant, conversion)}]


async def test_the_sweep_asks_for_one_batch_at_a_time() -> None:
    tenant, conversions = uuid.uuid4(), [uuid.uuid4() for _ in range(5)]
    keys = [key(tenant, each) for each in conversions for key in (upload_key, addon_key)]
    found = [list(batch) async for batch in conversion_prefixes(listing(*keys), batch=2)]
    assert found == [conversions[:2], conversions[2:4], conversions[4:]]
