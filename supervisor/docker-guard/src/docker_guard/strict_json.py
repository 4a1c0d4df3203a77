"""Reads JSON with no room for two opinions: what Docker could read differently is refused. Called by gate and rules."""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from docker_guard.refusal import BAD_REQUEST, Refusal

MAX_DEPTH = 16  # a create body needs seven

# One that does not end goes on to the end of the text, and is not tried again from each of its signs: that would take
# seconds for a body full of quotes, in which nobody else is served.
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"?', re.DOTALL)


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`. Raises Refusal: not UTF-8, not JSON, not an object, too deep, a key twice, NaN."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise Refusal("the body is not UTF-8", BAD_REQUEST) from None
    return parse_text(text, "the body")


def parse_text(text: str, what: str) -> dict[str, Any]:
    """As parse_object, of text; `what` names it in the reason."""
    if _depth(text) > MAX_DEPTH:
        raise Refusal(f"{what} is nested deeper than {MAX_DEPTH}", BAD_REQUEST)
    try:
        parsed = json.loads(
            text, object_pairs_hook=_unique_keys, parse_constant=_no_constant, parse_float=_finite, strict=True
        )
    except (ValueError, RecursionError):
        raise Refusal(f"{what} is not JSON", BAD_REQUEST) from None
    if not isinstance(parsed, dict):
        raise Refusal(f"{what} is not a JSON object", BAD_REQUEST)
    return parsed


def _depth(text: str) -> int:
    """How deep the brackets go, counted without recursion and before the parser sees them."""
    depth = deepest = 0
    for sign in _STRING.sub("", text):
        if sign in "{[":
            depth += 1
            deepest = max(deepest, depth)
        elif sign in "}]":
            depth -= 1
    return deepest


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise Refusal("the JSON has a key twice", BAD_REQUEST)
    return result


def _no_constant(name: str) -> NoReturn:
    raise Refusal(f"{name} is not a number of JSON", BAD_REQUEST)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise Refusal("the JSON has a number that is too large", BAD_REQUEST)
    return number
