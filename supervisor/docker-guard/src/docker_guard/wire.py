"""Reads one HTTP request from a connection, strictly. Called by listener.py.

h11 parses; around it stands what h11, made for any client, lets pass: bare line feeds, repeated headers, bodies of
unknown length. Nothing of a head is ever forwarded, so that the daemon cannot read it differently.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass

import h11

from docker_guard.refusal import BAD_REQUEST, FORBIDDEN, HEAD_TOO_LARGE, TIMED_OUT, TOO_LARGE, Refusal

MAX_HEAD_BYTES = 16 * 1024
MAX_BODY_BYTES = 64 * 1024
MAX_HEADERS = 32
IDLE_SECONDS = 300.0  # a connection that is kept open, between two requests
ARRIVAL_SECONDS = 10.0  # from the first byte of a request to its last
# What changes how a message is read, or asks for something other than an answer.
FORBIDDEN_HEADERS = frozenset(
    {
        "transfer-encoding",
        "content-encoding",
        "expect",
        "http2-settings",
        "proxy-connection",
        "te",
        "trailer",
        "upgrade",
        "x-http-method-override",
    }
)

_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_LENGTH = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A whole request. `exchange` is h11's view of it, with which the answer is written."""

    method: str
    target: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    exchange: h11.Connection


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request; None when the client has left or stays silent. After a Refusal nothing more can be read."""
    try:
        async with asyncio.timeout(IDLE_SECONDS):
            first = await reader.read(1)
    except TimeoutError:
        return None
    if not first:
        return None
    try:
        async with asyncio.timeout(ARRIVAL_SECONDS):
            return await _read_rest(first, reader)
    except TimeoutError:
        raise Refusal("the request did not arrive in time", TIMED_OUT) from None
    except asyncio.LimitOverrunError:
        raise Refusal(f"the head of the request is longer than {MAX_HEAD_BYTES} bytes", HEAD_TOO_LARGE) from None
    except asyncio.IncompleteReadError:
        return None


async def _read_rest(first: bytes, reader: asyncio.StreamReader) -> Request:
    head = first + await reader.readuntil(b"\r\n\r\n")
    headers = check_head(head)
    exchange = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES + MAX_BODY_BYTES)
    try:
        exchange.receive_data(head)
        event = exchange.next_event()
    except h11.RemoteProtocolError as error:
        raise Refusal(f"not HTTP: {error}", BAD_REQUEST) from None
    if not isinstance(event, h11.Request) or event.http_version != b"1.1":
        raise Refusal("only HTTP/1.1 is spoken here", BAD_REQUEST)
    method = event.method.decode("ascii")
    length = _body_length(method, headers)
    body = await reader.readexactly(length)
    exchange.receive_data(body)
    while not isinstance(exchange.next_event(), h11.EndOfMessage):
        pass
    return Request(method=method, target=event.target.decode("ascii"), headers=headers, body=body, exchange=exchange)


def check_head(head: bytes) -> dict[str, str]:
    """Headers by lower-case name; they end with an empty line. Raises Refusal for whatever is not plain HTTP/1.1."""
    lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    if len(lines) - 1 > MAX_HEADERS:
        raise Refusal(f"more than {MAX_HEADERS} headers", HEAD_TOO_LARGE)
    headers: dict[str, str] = {}
    for line in lines[1:]:
        matched = _HEADER.fullmatch(line)
        if matched is None:
            raise Refusal("a header is malformed", BAD_REQUEST)
        name = matched[1].decode("ascii").lower()
        if name in headers:
            raise Refusal(f"the header {name} is there twice", BAD_REQUEST)
        if name in FORBIDDEN_HEADERS:
            raise Refusal(f"the header {name} is not accepted", BAD_REQUEST)
        headers[name] = matched[2].decode("utf-8", "replace").strip(" \t")
    if headers.get("connection", "keep-alive").lower() not in {"keep-alive", "close"}:
        raise Refusal("a connection here is never upgraded or taken over", FORBIDDEN)
    return headers


def _body_length(method: str, headers: Mapping[str, str]) -> int:
    text = headers.get("content-length", "0")
    if _LENGTH.fullmatch(text) is None:
        raise Refusal("Content-Length is not one number", BAD_REQUEST)
    length = int(text)
    if length > MAX_BODY_BYTES:
        raise Refusal(f"the body is longer than {MAX_BODY_BYTES} bytes", TOO_LARGE)
    if length and method != "POST":
        raise Refusal(f"a {method} has no body", BAD_REQUEST)
    return length
