"""Takes a request's target apart: version, path, query. Strict, pure; called by rules.py.

A path may hold only plain characters, so that there is exactly one way to write each; Docker's router and this module
cannot disagree about what is meant.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from docker_guard.refusal import BAD_REQUEST, FORBIDDEN, Refusal

MIN_VERSION, MAX_VERSION = 24, 52  # of Docker's API: 1.24 to 1.52
MAX_VALUE_CHARACTERS = 4096

_VERSION = re.compile(r"/v1\.([1-9][0-9])(?=/)")
_PATH = re.compile(r"(/[A-Za-z0-9_][A-Za-z0-9_.:-]*)+")
_KEY = re.compile(r"[a-z_-]{1,20}")
_VALUE = re.compile(r"(?:[A-Za-z0-9_.~!*'(),:/@+-]|%[0-9A-Fa-f]{2})*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """`version` is the prefix as written (/v1.41) or empty; `query` is decoded."""

    version: str
    path: str
    query: Mapping[str, str]


def parse_target(target: str) -> Target:
    """Raises Refusal for anything unusual: another form, an encoded or doubled sign in the path, a repeated key."""
    path, question_mark, query = target.partition("?")
    version = ""
    if matched := _VERSION.match(path):
        if not MIN_VERSION <= int(matched[1]) <= MAX_VERSION:
            raise Refusal(f"API versions 1.{MIN_VERSION} to 1.{MAX_VERSION} are accepted", BAD_REQUEST)
        version, path = matched[0], path[matched.end() :]
    if _PATH.fullmatch(path) is None or ".." in path:
        raise Refusal("the path is not written plainly", FORBIDDEN)
    return Target(version=version, path=path, query=_parse_query(query) if question_mark else {})


def _parse_query(query: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for part in query.split("&"):
        key, equals, raw = part.partition("=")
        if _KEY.fullmatch(key) is None or not equals or _VALUE.fullmatch(raw) is None:
            raise Refusal("the query is not written plainly", BAD_REQUEST)
        if key in values:
            raise Refusal(f"the query has {key} twice", BAD_REQUEST)
        values[key] = _decode(raw)
    return values


def _decode(raw: str) -> str:
    try:
        value = unquote_to_bytes(raw.replace("+", " ")).decode("utf-8")
    except UnicodeDecodeError:
        raise Refusal("the query is not UTF-8", BAD_REQUEST) from None
    if len(value) > MAX_VALUE_CHARACTERS or not value.isprintable():
        raise Refusal("a value of the query is too long, or not printable", BAD_REQUEST)
    return value
