"""Lenient JSON: what the game's loaders read, what they and we do not, and that hostile text costs little time."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from converter import BadFile
from converter.jsontext import parse

TEXTS = st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS, lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner)
)


@given(VALUES)
def test_plain_json_is_read_as_it_is(value: Any) -> None:
    assert parse(json.dumps(value, ensure_ascii=False).encode()) == value


def test_comments_in_strings_stay() -> None:
    text = b'{"a": "http://x/*y*/", // gone\n "b": "say \\"//hi\\" # not", /* gone */ "c": [1, 2,], # gone\n}'
    assert parse(text) == {"a": "http://x/*y*/", "b": 'say "//hi" # not', "c": [1, 2]}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xff\xfe{}", "not UTF-8"),
        (b"[NaN]", "NaN"),
        (b"[1e999]", "infinite"),
        (b"[" + b"9" * 5000 + b"]", "too long"),
        (b'{"a":' * 200 + b"1" + b"}" * 200, "64 levels"),
        (b"[" * 100_000, "deep|not valid"),
        (b'["\\ud800"]', "half a character"),
    ],
)
def test_what_is_refused_and_why(text: bytes, reason: str) -> None:
    with pytest.raises(BadFile, match=reason):
        parse(text)


@pytest.mark.parametrize("hostile", [b"/* " * 500_000, b'"' + b'\\"' * 500_000, b"[1" + b", " * 500_000])
def test_hostile_text_takes_linear_time(hostile: bytes) -> None:
    started = time.process_time()
    with pytest.raises(BadFile):
        parse(hostile)
    assert time.process_time() - started < 5
