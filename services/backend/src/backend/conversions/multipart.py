"""Reads exactly one file from a multipart/form-data body while it arrives, and keeps nothing of it in memory.

The upload service streams `chunks()` into object storage and asks for name, size and digest afterwards. Everything
about the body is the client's word, so each deviation ends the stream with its own problem.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.types import Receive

from backend import errors
from backend.settings import BYTES_PER_MB
from common.problems import Problem

FIELD = "file"
# Boundaries, part headers and line ends around the file.
OVERHEAD_BYTES = 64 * 1024
MAX_NAME_CHARACTERS = 255
# How much of a refused body is read and thrown away.
DISCARD_BYTES = 8 * 1024 * 1024
DISCARD_SECONDS = 5.0


def boundary_of(content_type: str | None) -> bytes:
    """The boundary of a multipart/form-data Content-Type. Raises the 415 or the malformed problem."""
    media_type, parameters = parse_options_header(content_type)
    if media_type != b"multipart/form-data":
        raise errors.not_multipart()
    boundary = parameters.get(b"boundary", b"")
    if not 1 <= len(boundary) <= 70:
        raise errors.malformed_multipart("its boundary is missing or too long")
    return boundary


class RequestBody:
    """The body of a request as it arrives, with an end that can be asked for."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._is_over = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """Raises the upload_interrupted problem when the client goes away."""
        while not self._is_over:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._is_over = True
                raise errors.upload_interrupted()
            self._is_over = not message.get("more_body", False)
            if message.get("body"):
                yield message["body"]

    async def discard(self) -> None:
        """Read on for a moment: a connection closed with unread data is reset, and takes our answer with it."""
        discarded_bytes = 0
        try:
            async with asyncio.timeout(DISCARD_SECONDS):
                async for chunk in self.chunks():
                    discarded_bytes += len(chunk)
                    if discarded_bytes > DISCARD_BYTES:
                        return
        except (TimeoutError, Problem):
            return


class UploadedFile:
    """One upload in progress. `chunks()` may be iterated once; the properties hold when it has ended."""

    def __init__(self, body: RequestBody, boundary: bytes, max_bytes: int) -> None:
        self._body = body
        self._max_bytes = max_bytes
        self._digest = hashlib.sha256()
        self._pieces: list[bytes] = []
        self._header_name = b""
        self._header_value = b""
        self._part_headers: dict[bytes, bytes] = {}
        self._parts = 0
        self._is_complete = False
        self.file_name = ""
        self.size_bytes = 0
        self._parser = MultipartParser(
            boundary,
            callbacks={
                "on_part_begin": self._on_part_begin,
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_part_data": self._on_part_data,
                "on_end": self._on_end,
            },
        )

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The file's bytes. Raises a problem when the body is not what it should be, too large, or ends early."""
        received_bytes = 0
        try:
            async for data in self._body.chunks():
                received_bytes += len(data)
                if received_bytes > self._max_bytes + OVERHEAD_BYTES:
                    raise self._too_large()
                self._parser.write(data)
                if self._pieces:
                    chunk = b"".join(self._pieces)
                    self._pieces.clear()
                    self._digest.update(chunk)
                    yield chunk
        except FormParserError as error:
            raise errors.malformed_multipart("its parts cannot be told apart") from error
        if self._parts == 0:
            raise errors.malformed_multipart("it holds no part")
        if not self._is_complete:
            raise errors.malformed_multipart("its end is missing")

    def _too_large(self) -> Exception:
        return errors.upload_too_large(self._max_bytes // BYTES_PER_MB)

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > 1:
            raise errors.unexpected_field("there is more than one")
        self._part_headers.clear()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        self._part_headers[self._header_name.lower()] = self._header_value
        self._header_name = self._header_value = b""

    def _on_headers_finished(self) -> None:
        disposition, parameters = parse_options_header(self._part_headers.get(b"content-disposition"))
        if disposition != b"form-data":
            raise errors.malformed_multipart("a part has no Content-Disposition: form-data")
        name = parameters.get(b"name", b"").decode("utf-8", "replace")
        if name != FIELD:
            raise errors.unexpected_field("its name is another")
        if b"filename" not in parameters:
            raise errors.unexpected_field("it is text without a file name")
        self.file_name = clean_file_name(parameters[b"filename"].decode("utf-8", "replace"))

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        self.size_bytes += end - start
        if self.size_bytes > self._max_bytes:
            raise self._too_large()
        self._pieces.append(data[start:end])

    def _on_end(self) -> None:
        self._is_complete = True


def clean_file_name(name: str) -> str:
    """The last component of a client's file name, printable and of bearable length; only ever shown, never a path."""
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    cleaned = "".join(character for character in last if character.isprintable()).strip()
    return cleaned[-MAX_NAME_CHARACTERS:] or "upload.jar"
