"""HTTP with Docker over its Unix socket, blocking: for threads. Used by docker_client, docker_events and docker_stats.

The standard library's client and not Docker's SDK: the dozen calls that are made need a path and a body each, and the
SDK with what it brings along is 7 MB of memory and several times the CPU of a call (docs/performance.md).
"""

from __future__ import annotations

import http
import http.client
import json
import socket
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

MAX_IDLE = 8
PIECE_BYTES = 64 * 1024
# What a connection that lay idle does when the other side has left meanwhile.
STALE = (BrokenPipeError, ConnectionResetError)
# What any call may raise besides DockerError.
BROKEN = (OSError, http.client.HTTPException, ValueError)


class DockerError(Exception):
    """Docker answered, but not with success. The text is its own sentence."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class DockerNotFound(DockerError):  # noqa: N818 - a state of the world, as a word
    """The container, image or network is not there."""


class UnixConnection(http.client.HTTPConnection):
    """A connection to a Unix socket; made with the first request."""

    def __init__(self, path: str, timeout_seconds: float) -> None:
        super().__init__("localhost", timeout=timeout_seconds)
        self._path = path
        self._timeout_seconds = timeout_seconds

    def connect(self) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self._timeout_seconds)
        try:
            connection.connect(self._path)
        except OSError:
            connection.close()
            raise
        self.sock = connection

    def wait_at_most(self, seconds: float) -> None:
        """For the next piece."""
        self.sock.settimeout(max(0.01, seconds))


class DockerHttp:
    """May be used by several threads. Connections for reads are kept; a change gets one of its own, because on one that
    breaks off nobody knows whether it was done, and it must not be sent twice."""

    def __init__(self, socket_path: str, timeout_seconds: float) -> None:
        self._socket_path = socket_path
        self._timeout_seconds = timeout_seconds
        self._idle: deque[UnixConnection] = deque()
        self._is_closed = False

    def get(self, path: str) -> bytes:
        """The answer's body. Raises DockerError, and what is in BROKEN."""
        while (connection := self._take_idle()) is not None:
            try:
                body = _exchange(connection, "GET", path)
            except STALE:
                continue
            self._keep(connection)
            return body
        connection = UnixConnection(self._socket_path, self._timeout_seconds)
        body = _exchange(connection, "GET", path)
        self._keep(connection)
        return body

    def change(self, method: str, path: str, content: Mapping[str, Any] | None, headers: Mapping[str, str]) -> bytes:
        """The same with a body, as JSON, and on a connection of its own."""
        connection = UnixConnection(self._socket_path, self._timeout_seconds)
        body = b"" if content is None else json.dumps(content).encode()
        try:
            return _exchange(connection, method, path, body, {**headers, "Content-Type": "application/json"})
        finally:
            connection.close()

    def close(self) -> None:
        """Calls under way go on to their end."""
        self._is_closed = True
        while (connection := self._take_idle()) is not None:
            connection.close()

    def _take_idle(self) -> UnixConnection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _keep(self, connection: UnixConnection) -> None:
        if self._is_closed or len(self._idle) >= MAX_IDLE:
            connection.close()
        else:
            self._idle.append(connection)


class DockerStream:
    """An answer without an end: JSON objects, one a line. Iterate in one thread; `stop` from any."""

    def __init__(self, socket_path: str, path: str, timeout_seconds: float) -> None:
        """Until the answer has begun. Raises as DockerHttp.get."""
        self._connection = UnixConnection(socket_path, timeout_seconds)
        try:
            self._connection.request("GET", path)
            self._socket = self._connection.sock
            self._response = self._connection.getresponse()
            if self._response.status != http.HTTPStatus.OK:
                raise _error_of(self._response.status, self._response.read())
            self._socket.settimeout(None)
        except BaseException:
            self._connection.close()
            raise

    def __iter__(self) -> Iterator[Any]:
        rest = b""
        while piece := self._response.read1(PIECE_BYTES):
            *lines, rest = (rest + piece).split(b"\n")
            for line in lines:
                if line.strip():
                    yield json.loads(line)

    def stop(self) -> None:
        """Whoever iterates is woken, and comes to the end or raises what is in BROKEN."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the other side was first

    def close(self) -> None:
        """By whoever iterated."""
        self._response.close()
        self._connection.close()


def _exchange(
    connection: UnixConnection,
    method: str,
    path: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """One request and its whole answer. The connection is closed unless it can be used again."""
    try:
        connection.request(method, path, body or None, dict(headers or {}))
        response = connection.getresponse()
        answered = response.read()
    except BaseException:
        connection.close()
        raise
    if response.status >= http.HTTPStatus.BAD_REQUEST:
        connection.close()
        raise _error_of(response.status, answered)
    return answered


def _error_of(status: int, body: bytes) -> DockerError:
    try:
        text = str(json.loads(body)["message"])
    except (ValueError, LookupError, TypeError):
        text = body.decode(errors="replace")
    kind = DockerNotFound if status == http.HTTPStatus.NOT_FOUND else DockerError
    return kind(status, text.strip() or f"status {status}")
