"""Opaque cursors for keyset pages, and the Link header that carries the next one."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from urllib.parse import urlencode

from fastapi import Request

from backend import errors

# Numbers in cursors are positions, in columns of this width.
MAX_NUMBER = 2**31 - 1


def encode_cursor(values: Sequence[str | int]) -> str:
    """The last row's sort values as one URL-safe word."""
    return base64.urlsafe_b64encode(json.dumps(list(values), separators=(",", ":")).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, types: Sequence[type]) -> list[str | int]:
    """The sort values of a cursor, of exactly these types; numbers go from 0 to MAX_NUMBER.

    Raises the bad_cursor problem.
    """
    try:
        values = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise errors.bad_cursor() from error
    if not isinstance(values, list) or [type(value) for value in values] != list(types):
        raise errors.bad_cursor()
    if not all(0 <= value <= MAX_NUMBER for value in values if isinstance(value, int)):
        raise errors.bad_cursor()
    return values


def next_link(request: Request, cursor: str) -> str:
    """A Link header to the next page of the same list: same path and filters, as a relative reference."""
    kept = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
    return f'<{request.url.path}?{urlencode([*kept, ("cursor", cursor)])}>; rel="next"'
