"""A stored object as an HTTP download: ETag and 304, one byte range with 206 and 416, a safe file name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from backend import errors
from common.storage import ObjectStore

RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
UNSAFE_IN_NAMES = re.compile(r"[^A-Za-z0-9._ -]+")


@dataclass(frozen=True, slots=True)
class Download:
    """What is offered: an object in storage of known size and digest."""

    key: str
    size_bytes: int
    sha256: str
    media_type: str
    file_name: str


def respond(request: Request, store: ObjectStore, download: Download) -> Response:
    """The whole object, one range of it, or 304 when the client has it. Raises the 416 problem."""
    etag = f'"{download.sha256}"'
    headers = {"ETag": etag, "Accept-Ranges": "bytes", "Cache-Control": "private, no-cache"}
    if matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    headers["Content-Disposition"] = content_disposition(download.file_name)
    start, end, status = 0, download.size_bytes, 200
    wanted = request.headers.get("range")
    condition = request.headers.get("if-range")
    if wanted and (condition is None or condition == etag):
        found = parse_range(wanted, download.size_bytes)
        if found is not None:
            start, end = found
            status = 206
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{download.size_bytes}"
    headers["Content-Length"] = str(end - start)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=download.media_type)
    return StreamingResponse(
        store.stream(download.key, start, end), status_code=status, headers=headers, media_type=download.media_type
    )


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether an If-None-Match header names this ETag, by the weak comparison that RFC 9110 asks for here."""
    if if_none_match is None:
        return False
    candidates = {candidate.strip().removeprefix("W/") for candidate in if_none_match.split(",")}
    return "*" in candidates or etag in candidates


def parse_range(header: str, size_bytes: int) -> tuple[int, int] | None:
    """The [start, end) of a single byte range; None for what RFC 9110 lets a server ignore (many ranges, other units).

    Raises the 416 problem when no byte of the object lies in the range.
    """
    match = RANGE.fullmatch(header.strip())
    if match is None or match.group(1) == match.group(2) == "":
        return None
    first, last = match.groups()
    if first == "":  # the last N bytes
        start, end = max(0, size_bytes - int(last)), size_bytes
    else:
        if last and int(last) < int(first):
            return None
        start, end = int(first), min(size_bytes, int(last) + 1 if last else size_bytes)
    if start >= end:
        raise errors.range_not_satisfiable(size_bytes)
    return start, end


def content_disposition(file_name: str) -> str:
    """An attachment whose name cannot leave the folder or the header: plain ASCII, and the full name encoded."""
    plain = UNSAFE_IN_NAMES.sub("_", file_name).strip(". _") or "download"
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(file_name, safe='')}"


def safe_stem(name: str) -> str:
    """A name without path separators and control characters, cut to a length that every file system takes."""
    cleaned = "".join(c for c in name if c.isprintable() and c not in '/\\:*?"<>|').strip(". ")
    return cleaned[:100].rstrip(". ") or "addon"
