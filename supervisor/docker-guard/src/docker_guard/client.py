"""Writes answers to a client: whole ones of the guard's own, and Docker's as they come. Used by listener.py."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus

import h11

from docker_guard.daemon import Answer, DaemonAway

WRITE_SECONDS = 30.0  # a client that does not read its answer is left
# Of Docker's answer these go on to the client; nothing else of it is needed.
PASSED_HEADERS = frozenset(
    {b"api-version", b"content-length", b"content-type", b"docker-experimental", b"ostype", b"server"}
)
OK = 200
REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}

Headers = Iterable[tuple[bytes, bytes]]
Change = Callable[[bytes], bytes]


class Gone(Exception):  # noqa: N818 - a state of the world, as a word
    """The client has left, or must be left: nothing can be told to it any more."""


@dataclass(slots=True)
class Client:
    """A connection and its request in hand. `status`: of the answer to it, once that has begun."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    exchange: h11.Connection
    status: int = 0

    async def tell(self, status: int, message: str, *, is_last: bool = False) -> None:
        """An error in the shape of Docker's, which the SDK shows as it is."""
        await self.whole(status, json.dumps({"message": message}).encode(), is_last=is_last)

    async def whole(self, status: int, body: bytes, *, is_last: bool = False) -> None:
        headers = [(b"Content-Type", b"application/json"), (b"Content-Length", str(len(body)).encode())]
        await self._begin(status, [*headers, (b"Connection", b"close")] if is_last else headers)
        await self._write(h11.Data(data=body))
        await self._write(h11.EndOfMessage())

    async def pass_on(self, answer: Answer, change: Change | None) -> None:
        """Docker's answer; `change` makes a good one into what this client may see. Raises DaemonAway, Gone."""
        if change is not None and answer.status == OK:
            await self.whole(OK, change(await answer.whole()))
            return
        await self._begin(answer.status, [header for header in answer.headers if header[0] in PASSED_HEADERS])
        async for piece in answer.pieces():
            await self._write(h11.Data(data=piece))
        await self._write(h11.EndOfMessage())

    async def pass_on_until_either_leaves(self, answer: Answer) -> None:
        """A stream without an end. When Docker leaves, it ends; when the client does, Docker's connection is let go."""
        passing = asyncio.create_task(self.pass_on(answer, None))
        leaving = asyncio.create_task(self.reader.read(1))
        try:
            await asyncio.wait({passing, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if passing.done():
                await passing
        except DaemonAway:
            await self._write(h11.EndOfMessage())
        finally:
            for task in (passing, leaving):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, DaemonAway, Gone, OSError):
                    await task
        raise Gone  # one stream is all that such a connection carries

    async def _begin(self, status: int, headers: Headers) -> None:
        self.status = status
        await self._write(h11.Response(status_code=status, headers=list(headers), reason=REASONS.get(status, b"")))

    async def _write(self, event: h11.Response | h11.Data | h11.EndOfMessage) -> None:
        data = self.exchange.send(event)
        if not data:
            return
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                self.writer.write(data)
                await self.writer.drain()
        except OSError as error:  # a TimeoutError is one
            raise Gone from error
