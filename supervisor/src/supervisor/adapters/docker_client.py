"""Calls of the Docker SDK from an event loop: in threads, with the cause in a header, and errors in words of the ports.

Used by docker_runtime and docker_events. The SDK blocks, so each call runs in one of a few threads. Reads and writes
have threads of their own: a container on which the daemon hangs must not keep the list from being read.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import docker  # type: ignore[import-untyped]
import requests
from docker.errors import APIError, DockerException  # type: ignore[import-untyped]

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


class DockerClient(docker.APIClient):  # type: ignore[misc]
    """The SDK's low-level client that adds the cause of the running thread to what it sends."""

    def __init__(self, socket: str, timeout_seconds: float) -> None:
        self._cause = threading.local()
        super().__init__(
            base_url=f"unix://{socket}",
            version=API_VERSION,
            timeout=timeout_seconds,
            max_pool_size=READ_THREADS + WRITE_THREADS,
        )
        # A Unix socket has no proxy and no netrc; looking for them is a third of the cost of a call.
        self.trust_env = False

    def guard_audit(self, after: int) -> Any:
        """docker-guard's own route, beside Docker's. Raises APIError as the SDK's calls do."""
        return self._result(self._get(f"{self.base_url}/guard/audit", params={"after": after}), json=True)

    def caused_by(self, cause: str) -> None:
        self._cause.text = sanitised(cause)

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        cause = getattr(self._cause, "text", "")
        if cause:
            kwargs["headers"] = {**(kwargs.get("headers") or {}), CAUSE_HEADER: cause}
        response: requests.Response = super().request(method, url, *args, **kwargs)
        return response


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
        except (DockerException, requests.RequestException, OSError) as error:
            raise in_words(error) from error

    def close(self) -> None:
        """Threads end when their call does; nothing waits for them."""
        for pool in (self._readers, self._writers):
            pool.shutdown(wait=False, cancel_futures=True)
        self._client.close()


def in_words(error: Exception) -> Refused | Unavailable:
    if isinstance(error, APIError):
        text = str(error.explanation or error).strip()
        if error.status_code == requests.codes.not_found:
            return Missing(f"Docker: {text}")
        if error.status_code == requests.codes.conflict:
            return Conflict(f"Docker: {text}")
        if error.is_client_error():
            return Refused(f"Docker refused: {text}")
        return Unavailable(f"Docker failed: {text}")
    if isinstance(error, requests.Timeout):
        return Unavailable("Docker did not answer in time")
    return Unavailable(f"Docker cannot be reached: {error}")
