"""The ledger page by page, filtered, searched, and as a table that no spreadsheet runs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.backend_process import BackendProcess, Stores
from tests.integration.backend_worker import ROWS, Row, complete, sample_jar, uploaded


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


def test_the_ledger_pages_and_filters(visitor: httpx.Client, stores: Stores, queued: str) -> None:
    rows: list[Row] = [(f"file/{n:04}.png", "texture", "converted", "", []) for n in range(250)]
    complete(stores, queued, rows=[*rows, *ROWS])
    seen: list[str] = []
    cursor = None
    while True:
        parameters = {"limit": 100, **({"cursor": cursor} if cursor else {})}
        page = get(visitor, f"/{queued}/ledger", params=parameters).raise_for_status()
        seen += [item["source"] for item in page.json()["items"]]
        assert page.json()["matching"] == page.json()["totals"]["total"] == 255
        cursor = page.json()["next_cursor"]
        assert ("link" in page.headers) == (cursor is not None)
        if cursor is None:
            break
    assert seen == [row[0] for row in [*rows, *ROWS]]
    first = get(visitor, f"/{queued}/ledger")
    assert first.json() == get(visitor, f"/{queued}/ledger").json(), "from the cache it is the same"


@pytest.mark.parametrize(
    ("parameters", "sources"),
    [
        ({"outcome": "ignored"}, ["a/Main.class"]),
        ({"outcome": ["ignored", "unsupported"]}, ["assets/a/sounds/hum.ogg", "a/Main.class"]),
        ({"q": "RUBY"}, ["assets/a/textures/item/ruby.png", "a:ruby"]),
        ({"q": "not translated"}, ["assets/a/sounds/hum.ogg"]),
        ({"q": "100%"}, ["=HYPERLINK(1)"]),
        ({"q": "of_this"}, ["=HYPERLINK(1)"]),
        ({"q": "%"}, ["=HYPERLINK(1)"]),
        ({"q": "ruby", "outcome": "error"}, []),
        ({"q": "a\x00:ruby"}, ["a:ruby"]),
    ],
)
def test_the_ledger_is_searched_literally(
    visitor: httpx.Client, completed: str, parameters: dict[str, Any], sources: list[str]
) -> None:
    page = get(visitor, f"/{completed}/ledger", params=parameters).raise_for_status().json()
    assert [item["source"] for item in page["items"]] == sources
    assert page["matching"] == len(sources)
    assert page["totals"]["total"] == 5


def test_an_unknown_outcome_is_refused(visitor: httpx.Client, completed: str) -> None:
    assert get(visitor, f"/{completed}/ledger", params={"outcome": "lost"}).json()["code"] == "validation_error"


def test_the_ledger_as_csv_is_whole_and_harmless(visitor: httpx.Client, stores: Stores, queued: str) -> None:
    rows: list[Row] = [(f'file/{n:05},"x".png', "texture", "converted", "", ["a", "b"]) for n in range(4500)]
    complete(stores, queued, rows=[*rows, *ROWS])
    answer = get(visitor, f"/{queued}/ledger", headers={"Accept": "text/csv"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith('attachment; filename="gemcraft-ledger.csv"')
    table = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert len(table) == 4505
    assert table[0] == {
        "source": rows[0][0],
        "kind": "texture",
        "outcome": "converted",
        "reason": "",
        "outputs": "a; b",
    }
    dangerous = next(row for row in table if "HYPERLINK" in row["source"])
    assert (dangerous["source"], dangerous["reason"]) == ("'=HYPERLINK(1)", "'@cmd 100% of_this")
    json_wins = get(visitor, f"/{queued}/ledger", headers={"Accept": "application/json, text/csv;q=0.5"})
    assert json_wins.headers["content-type"] == "application/json"
