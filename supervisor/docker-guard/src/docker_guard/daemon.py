"""Speaks to Docker's socket: writes requests that the guard made itself, reads the answers as they come.

Used by project.py (small answers, whole) and listener.py (answers passed on piece by piece). Connections for reads are
kept and used again, which halves their cost; a change always gets a new one, because on a connection that dies half-way
nobody knows whether it was done, and it must not be sent twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h11

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60.0  # to the head of an answer; a stop takes its own time on top
PIECE_SECONDS = 30.0  # between two pieces of an answer that is not a stream of events
MAX_IDLE_CONNECTIONS = 32  # the supervisor asks for that many statistics at once
MAX_WHOLE_BYTES = 8 * 1024 * 1024
READ_BYTES = 64 * 1024


class DaemonAway(Exception):  # noqa: N818 - a state of the world, as a word
    """Docker cannot be reached, or broke off. The text is a sentence for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """A request to Docker. `path` with version and query; `is_endless`: events, which may be silent for hours."""

    method: str
    path: str
    body: bytes = b""
    answer_seconds: float = ANSWER_SECONDS
    is_endless: bool = False

    @property
    def is_repeatable(self) -> bool:
        return self.method == "GET"


class Answer:
    """An answer whose head has arrived. Read `pieces` to the end, or leave: `Daemon.ask` closes what is left."""

    def __init__(self, connection: _Connection, head: h11.Response, forward: Forward) -> None:
        self._connection = connection
        self._seconds = None if forward.is_endless else PIECE_SECONDS
        self.status = head.status_code
        self.headers = [(name, value) for name, value in head.headers]
        self.is_complete = False

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body, in pieces as they arrive. Raises DaemonAway when it breaks off."""
        while not self.is_complete:
            collected, self.is_complete = await self._connection.body(self._seconds)
            if collected:
                yield collected

    async def whole(self) -> bytes:
        parts: list[bytes] = []
        async for piece in self.pieces():
            parts.append(piece)
            if sum(map(len, parts)) > MAX_WHOLE_BYTES:
                raise DaemonAway("Docker's answer is too long")
        return b"".join(parts)


class _Connection:
    """One connection to the daemon, one request after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._http = h11.Connection(h11.CLIENT)

    @property
    def is_dead(self) -> bool:
        return self._reader.at_eof() or self._writer.is_closing()

    async def send(self, forward: Forward) -> h11.Response:
        headers = [("Host", "docker"), ("Content-Length", str(len(forward.body)))]
        if forward.body:
            headers.append(("Content-Type", "application/json"))
        head = self._http.send(h11.Request(method=forward.method, target=forward.path, headers=headers))
        body = self._http.send(h11.Data(data=forward.body)) if forward.body else b""
        self._http.send(h11.EndOfMessage())
        async with asyncio.timeout(forward.answer_seconds):
            self._writer.write((head or b"") + (body or b""))
            await self._writer.drain()
            while True:
                event = self._http.next_event()
                if event is h11.NEED_DATA:
                    await self._receive()
                elif isinstance(event, h11.Response):
                    return event
                elif not isinstance(event, h11.InformationalResponse):
                    raise h11.RemoteProtocolError("the connection was closed")

    async def body(self, seconds: float | None) -> tuple[bytes, bool]:
        """What has arrived (waits for some), and whether that was all."""
        parts: list[bytes] = []
        try:
            while True:
                event = self._http.next_event()
                if isinstance(event, h11.Data):
                    parts.append(event.data)
                elif isinstance(event, h11.EndOfMessage):
                    return b"".join(parts), True
                elif parts:
                    return b"".join(parts), False
                else:
                    async with asyncio.timeout(seconds):
                        await self._receive()
        except (OSError, TimeoutError, h11.RemoteProtocolError) as error:
            raise DaemonAway(f"Docker broke off its answer ({_named(error)})") from error

    async def _receive(self) -> None:
        self._http.receive_data(await self._reader.read(READ_BYTES))

    def renew(self) -> bool:
        """Ready for another request? Only after a whole exchange that both sides want to go on from."""
        if self.is_dead or self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    def close(self) -> None:
        self._writer.close()


class Daemon:
    """Docker behind its socket. Survives its restarts: the next request connects again."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._idle: list[_Connection] = []

    @contextlib.asynccontextmanager
    async def ask(self, forward: Forward) -> AsyncIterator[Answer]:
        """Send, and give the answer as soon as its head is there. Raises DaemonAway."""
        connection, head = await self._exchange(forward)
        answer = Answer(connection, head, forward)
        try:
            yield answer
        finally:
            if answer.is_complete and len(self._idle) < MAX_IDLE_CONNECTIONS and connection.renew():
                self._idle.append(connection)
            else:
                connection.close()

    async def fetch(self, path: str) -> tuple[int, Any]:
        """Status and parsed body of a GET. Raises DaemonAway, also when the body is not JSON."""
        async with self.ask(Forward(method="GET", path=path)) as answer:
            body = await answer.whole()
        try:
            return answer.status, json.loads(body)
        except ValueError as error:
            raise DaemonAway("Docker's answer is not JSON") from error

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    async def _exchange(self, forward: Forward) -> tuple[_Connection, h11.Response]:
        while forward.is_repeatable and self._idle:
            connection = self._idle.pop()
            try:
                if not connection.is_dead:
                    return connection, await connection.send(forward)
            except TimeoutError as error:
                connection.close()
                raise DaemonAway("Docker does not answer in time") from error
            except (OSError, h11.ProtocolError):
                pass  # it died while it lay idle: a restart of the daemon
            connection.close()
        connection = await self._connect()
        try:
            return connection, await connection.send(forward)
        except (OSError, h11.ProtocolError) as error:
            connection.close()
            raise DaemonAway(f"Docker does not answer ({_named(error)})") from error
        except asyncio.CancelledError:
            connection.close()
            raise

    async def _connect(self) -> _Connection:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return _Connection(*await asyncio.open_unix_connection(self._socket))
        except (OSError, TimeoutError) as error:
            raise DaemonAway(f"Docker's socket cannot be reached ({_named(error)})") from error


def _named(error: BaseException) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
