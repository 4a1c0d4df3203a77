"""One request over a connection of its own, and its answer. Used by http_probe and prometheus_source.

asyncio's own streams rather than a client library: the answers are short, a hundred replicas are asked every second,
each on a new connection so that the accepting of connections is probed too, and a library is 4 MB and three times the
CPU (docs/performance.md).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Place:
    host: str
    port: int
    is_tls: bool = False


class OddAnswerError(Exception):
    """What came is not HTTP, or too long, or broke off."""


async def ask(place: Place, request: bytes, *, timeout_seconds: float, limit_bytes: int) -> Answer:
    """Send a request that says `Connection: close`. A longer body is cut off at the limit. Raises TimeoutError,
    OSError, OddAnswerError."""
    writer = None
    try:
        async with asyncio.timeout(timeout_seconds):
            reader, writer = await asyncio.open_connection(
                place.host, place.port, limit=min(limit_bytes, 64 * 1024), ssl=place.is_tls or None
            )
            writer.write(request)
            return await _read(reader, limit_bytes)
    finally:
        if writer:
            writer.transport.abort()  # nothing more is wanted, and nobody waits for a hung one to say goodbye


async def _read(reader: asyncio.StreamReader, limit_bytes: int) -> Answer:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        version, status, *_ = head.split(maxsplit=2)
        if not version.startswith("HTTP/1."):
            raise OddAnswerError("the answer is not HTTP")
        return Answer(int(status), await _body(reader, head.lower(), limit_bytes))
    except asyncio.IncompleteReadError as error:
        raise OddAnswerError("the connection broke off before the answer was there") from error
    except (asyncio.LimitOverrunError, ValueError) as error:
        raise OddAnswerError("the answer is not HTTP") from error


async def _body(reader: asyncio.StreamReader, head: str, limit_bytes: int) -> bytes:
    """In chunks, as long as Content-Length says, or to the end of the connection."""
    headers = dict(line.partition(":")[::2] for line in head.split("\r\n")[1:])
    if "chunked" in headers.get("transfer-encoding", ""):
        return await _chunks(reader, limit_bytes)
    if "content-length" in headers:
        return await reader.readexactly(min(int(headers["content-length"]), limit_bytes))
    parts = bytearray()
    while len(parts) < limit_bytes and (part := await reader.read(limit_bytes - len(parts))):
        parts += part
    return bytes(parts)


async def _chunks(reader: asyncio.StreamReader, limit_bytes: int) -> bytes:
    parts = bytearray()
    while len(parts) < limit_bytes:
        size = int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16)
        if size == 0:
            break
        parts += await reader.readexactly(min(size, limit_bytes - len(parts)))
        if len(parts) < limit_bytes:
            await reader.readexactly(2)
    return bytes(parts)
