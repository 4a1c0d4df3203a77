"""JSON as Minecraft's loaders read it: a byte-order mark, comments and trailing commas are tolerated, no more.

Called by `JarFiles.json` and the metadata readers. Depth, size and non-finite numbers are refused here, so that nothing
after it can recurse too deep or write a value that JSON does not have.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from converter.errors import BadFile

# A string or a comment; strings come first so that "http://x" stays whole. Both also match when nothing ends them, and
# the string possessively: a scan of hostile text stays linear.
_STRING_OR_COMMENT = r'("(?:[^"\\]++|\\.)*+"?)|(?://[^\n]*|/\*.*?(?:\*/|\Z)|\#[^\n]*)'
_COMMENTS = re.compile(_STRING_OR_COMMENT, re.DOTALL)
_TRAILING_COMMAS = re.compile(r'("(?:[^"\\]++|\\.)*+"?)|,(?=\s*[}\]])', re.DOTALL)


def parse(data: bytes, *, max_depth: int = 64) -> Any:
    """The value in `data` (UTF-8). Raises BadFile with a reason for a human."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadFile(f"not UTF-8 text (byte {error.start})") from None
    value = _load(text)
    _check(value, max_depth)
    if "\\ud" in text or "\\uD" in text:
        _refuse_half_surrogates(value)
    return value


def _load(text: str) -> Any:
    try:
        return _loads(text)
    except json.JSONDecodeError as error:
        first = error
    bare = _COMMENTS.sub(lambda found: found[1] or " ", text)
    lenient = _TRAILING_COMMAS.sub(lambda found: found[1] or "", bare)
    try:
        return _loads(lenient)
    except json.JSONDecodeError:
        raise BadFile(f"not valid JSON: {first.msg} in line {first.lineno}, column {first.colno}") from None


def _loads(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise BadFile("nested too deeply") from None
    except json.JSONDecodeError:
        raise
    except ValueError:  # an integer of thousands of digits
        raise BadFile("a number in it is too long") from None


def _refuse_constant(name: str) -> None:
    raise BadFile(f"{name} is not a JSON number")


def _check(value: Any, max_depth: int) -> None:
    """Refuse depth and infinite numbers (1e999), level by level: no recursion that a deep value could exhaust."""
    level = [value]
    depth = 0
    while level:
        depth += 1
        if depth > max_depth + 1:
            raise BadFile(f"nested more than {max_depth} levels deep")
        deeper: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                deeper.extend(each.values())
            elif isinstance(each, list):
                deeper.extend(each)
            elif isinstance(each, float) and not math.isfinite(each):
                raise BadFile("a number in it is infinite")
        level = deeper


def _refuse_half_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise BadFile("a \\u escape in it is half a character") from None
