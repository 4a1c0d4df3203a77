"""JSON that two parsers could read differently is refused."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from docker_guard.refusal import Refusal
from docker_guard.strict_json import MAX_DEPTH, parse_object
from docker_guard.wire import MAX_BODY_BYTES


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"1",
        b"{",
        b'{"a": 1} {"a": 2}',
        b'{"a": 1}x',
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1, "b": 1}}',
        b'{"a": 1, "\\u0061": 2}',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": "\x01"}',
        b'{"a": "\xff"}',
        b'{"a": "\xed\xa0\x80"}',
        b"\xef\xbb\xbf{}",
        '{"a": 1}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-32"),
        b"{'a': 1}",
        b'{"a": 01}',
        b'{"a": 1,}',
        b'{/**/"a": 1}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b'{"a": ' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}",
        b'{"a\\"b": ' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}",
    ],
)
def test_refused(body: bytes) -> None:
    with pytest.raises(Refusal):
        parse_object(body)


@pytest.mark.parametrize("text", ['\\"', '"', "\\"])
def test_no_text_takes_long_to_refuse(text: str) -> None:
    """One thread serves everybody: what is slow to refuse would stop them all."""
    body = ('{"a": "' + text * (MAX_BODY_BYTES // len(text) - 10)).encode()
    began = time.process_time()
    with pytest.raises(Refusal):
        parse_object(body)
    assert time.process_time() - began < 0.5


def test_brackets_in_text_are_not_depth() -> None:
    content = {"a": "[" * 100 + '"\\'}
    assert parse_object(json.dumps(content).encode()) == content


@given(st.binary(max_size=200) | st.text(alphabet='{}[]":,\\ab01eN.-u\n', max_size=60).map(str.encode))
def test_any_bytes_are_an_object_or_a_refusal(body: bytes) -> None:
    try:
        parsed = parse_object(body)
    except Refusal:
        return
    assert parsed == json.loads(body.decode())


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), values, max_size=4))
def test_any_plain_object_is_read_as_it_was_written(content: dict[str, object]) -> None:
    assert parse_object(json.dumps(content).encode()) == content
