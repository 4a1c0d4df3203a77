"""Docker's calls from an event loop: in threads, with the cause in a header, and errors in words of the ports.

Used by docker_runtime and docker_start. A call blocks, so each runs in one of a few threads. Reads and writes have
threads of their own: a container on which the daemon hangs must not keep the list from being read.
"""

from __future__ import annotations

import asyncio
import http
import json
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from supervisor.adapters.docker_http import BROKEN, DockerError, DockerHttp, DockerNotFound
from supervisor.ports import Refused, Unavailable

# The newest that Engine 20.10 speaks, and still spoken by the newest engines.
API_VERSION = "1.41"
READ_THREADS = 4
WRITE_THREADS = 6
CAUSE_HEADER = "X-Cause"
CAUSE_CHARACTERS = 180  # it is also a label, of which the engine's gate takes 200 characters with its name

T = TypeVar("T")


class Conflict(Refused):
    """409: the name is taken, or the container is in a state that forbids the call."""


class Missing(Refused):
    """404: the container, image or network is gone."""


class DockerClient:
    """The calls that the supervisor makes, by any number of threads. What they give is Docker's own JSON; they raise
    DockerError and what is in docker_http.BROKEN. A change carries the cause that its thread named last."""

    def __init__(self, socket: str, timeout_seconds: float) -> None:
        self._http = DockerHttp(socket, timeout_seconds)
        self._cause = threading.local()

    def caused_by(self, cause: str) -> None:
        self._cause.text = sanitised(cause)

    def containers(self, filters: Mapping[str, Sequence[str]], *, with_stopped: bool) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._get(
            "/containers/json", all=int(with_stopped), filters=json.dumps(filters, separators=(",", ":"))
        )
        return found

    def inspect_container(self, container: str) -> dict[str, Any]:
        found: dict[str, Any] = self._get(f"/containers/{_name(container)}/json")
        return found

    def inspect_image(self, reference: str) -> dict[str, Any]:
        found: dict[str, Any] = self._get(f"/images/{quote(reference, safe='/:')}/json")
        return found

    def logs(self, container: str, *, tail: int) -> bytes:
        """The last lines of both outputs."""
        raw = self._http.get(_path(f"/containers/{_name(container)}/logs", {"stdout": 1, "stderr": 1, "tail": tail}))
        has_terminal = self.inspect_container(container)["Config"].get("Tty")
        return raw if has_terminal else unframed(raw)

    def guard_audit(self, after: int) -> Any:
        """docker-guard's own route, beside Docker's."""
        return json.loads(self._http.get(f"/guard/audit?after={after}"))

    def create(self, body: Mapping[str, Any], name: str) -> str:
        """The new container's id."""
        return str(json.loads(self._change("POST", "/containers/create", body, name=name))["Id"])

    def connect(self, container: str, network: str, endpoint: Mapping[str, Any]) -> None:
        content = {"Container": container, "EndpointConfig": endpoint}
        self._change("POST", f"/networks/{_name(network)}/connect", content)

    def start(self, container: str) -> None:
        self._change("POST", f"/containers/{_name(container)}/start")

    def kill(self, container: str, signal: str) -> None:
        self._change("POST", f"/containers/{_name(container)}/kill", signal=signal)

    def remove(self, container: str) -> None:
        """With its anonymous volumes. Conflict while it runs."""
        self._change("DELETE", f"/containers/{_name(container)}", v=1)

    def tag(self, image: str, repository: str, tag: str) -> None:
        self._change("POST", f"/images/{quote(image, safe='/:')}/tag", repo=repository, tag=tag)

    def close(self) -> None:
        self._http.close()

    def _get(self, path: str, **query: object) -> Any:
        return json.loads(self._http.get(_path(path, query)))

    def _change(self, method: str, path: str, content: Mapping[str, Any] | None = None, **query: object) -> bytes:
        cause = getattr(self._cause, "text", "")
        return self._http.change(method, _path(path, query), content, {CAUSE_HEADER: cause} if cause else {})


def _name(reference: str) -> str:
    """One part of a path, whatever it holds."""
    return quote(reference, safe="")


def _path(path: str, query: Mapping[str, object]) -> str:
    return f"/v{API_VERSION}{path}" + (f"?{urlencode(query)}" if query else "")


def events_path(filters: Mapping[str, Sequence[str]]) -> str:
    return _path("/events", {"filters": json.dumps(filters, separators=(",", ":"))})


def unframed(raw: bytes) -> bytes:
    """What a container without a terminal wrote: Docker puts 8 bytes before each piece, with its output and length."""
    parts, at = [], 0
    while at + 8 <= len(raw):
        (length,) = struct.unpack_from(">4xL", raw, at)
        parts.append(raw[at + 8 : at + 8 + length])
        at += 8 + length
    return b"".join(parts)


def sanitised(cause: str) -> str:
    """Printable ASCII in one line, as a header and a label may carry it."""
    text = cause.encode("ascii", "replace").decode()
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:CAUSE_CHARACTERS]


class DockerCalls:
    """Runs functions of the client in threads. They raise Refused or Unavailable, with a sentence."""

    def __init__(self, socket: str, timeout_seconds: float = 10.0) -> None:
        self._client = DockerClient(socket, timeout_seconds)
        self._readers = ThreadPoolExecutor(READ_THREADS, thread_name_prefix="docker-read")
        self._writers = ThreadPoolExecutor(WRITE_THREADS, thread_name_prefix="docker-write")

    async def read(self, call: Callable[[DockerClient], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._run, call, "")

    async def write(self, call: Callable[[DockerClient], T], cause: str) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writers, self._run, call, cause)

    def _run(self, call: Callable[[DockerClient], T], cause: str) -> T:
        self._client.caused_by(cause)
        try:
            return call(self._client)
        except (DockerError, *BROKEN) as error:
            raise in_words(error) from error

    def close(self) -> None:
        """Threads end when their call does; nothing waits for them."""
        for pool in (self._readers, self._writers):
            pool.shutdown(wait=False, cancel_futures=True)
        self._client.close()


def in_words(error: Exception) -> Refused | Unavailable:
    if isinstance(error, DockerError):
        if isinstance(error, DockerNotFound):
            return Missing(f"Docker: {error}")
        if error.status == http.HTTPStatus.CONFLICT:
            return Conflict(f"Docker: {error}")
        if error.status < http.HTTPStatus.INTERNAL_SERVER_ERROR:
            return Refused(f"Docker refused: {error}")
        return Unavailable(f"Docker failed: {error}")
    if isinstance(error, TimeoutError):
        return Unavailable("Docker did not answer in time")
    return Unavailable(f"Docker cannot be reached: {error}")
