"""What is watched while something happens to the replicas: Docker's events, NGINX's list as NGINX confirms it, when a
replica answers, and when a question to it was given up. All from outside, the same for the supervisor and for others.

It needs root on the engine's machine, as killing a process of a container does: NGINX's files are read through /proc,
and replicas are asked from NGINX's own network. Used by the measures.
"""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import docker

from tests.e2e.stack import Stack

CLONE_NEWNET = 0x40000000
LIST_SECONDS = 0.03
READY_SECONDS = 0.1
CLOSE_WAIT = "08"  # in /proc/net/tcp: the other side has gone
PORT = 8000
_SERVER = re.compile(r"^server .* # (\S+)$", re.MULTILINE)
_GENERATION = re.compile(r'return 200 "(\d+)')
T = TypeVar("T")


def inspect(stack: Stack, container: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(stack.docker("inspect", container))[0]
    return found


def kill_9(stack: Stack, container: str) -> bool:
    """End the process of a container past Docker; False when it has none at the moment.

    A container without a process has the number 0, which the kernel takes for all processes of the caller's group.
    """
    try:
        pid = stack.pid(container)
        if pid <= 0:
            return False
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, subprocess.CalledProcessError):
        return False  # gone meanwhile
    return True


def addresses(inspected: Mapping[str, Any]) -> list[str]:
    networks = inspected["NetworkSettings"]["Networks"].values()
    return [network["IPAddress"] for network in networks if network["IPAddress"]]


class Network:
    """The network of a container: what it is given is called in a thread that lives there."""

    def __init__(self, pid: int, workers: int = 4) -> None:
        self._pool = ThreadPoolExecutor(workers, initializer=_enter, initargs=(pid,))

    def call(self, question: Callable[[], T]) -> T:
        return self._pool.submit(question).result(timeout=10)

    def status(self, host: str, port: int, path: str, timeout: float = 0.3) -> int:
        """The status that something answers a GET with; 0 for none."""
        return self.call(lambda: _get(host, port, path, timeout)[0])

    def text(self, host: str, port: int, path: str, timeout: float = 0.3) -> str:
        return self.call(lambda: _get(host, port, path, timeout)[1])

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _enter(pid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    with Path(f"/proc/{pid}/ns/net").open("rb") as namespace:
        if libc.setns(namespace.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "cannot enter the network of a container (are you root?)")


def _get(host: str, port: int, path: str, timeout: float) -> tuple[int, str]:
    connection = http.client.HTTPConnection(host, port, timeout=timeout)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()


@dataclass(frozen=True)
class Event:
    at: float  # monotonic
    action: str
    container: str  # its id


@dataclass
class Events:
    """Docker's events of the containers with these labels, while it is recorded."""

    labels: tuple[str, ...]
    seen: list[Event] = field(default_factory=list)

    @contextmanager
    def recorded(self) -> Iterator[Events]:
        command = ["docker", "events", "--format", "{{json .}}", "--filter", "type=container", *_filters(self.labels)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            reader = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
            reader.start()
            time.sleep(0.5)  # until it listens
            try:
                yield self
            finally:
                time.sleep(0.5)  # for the last ones
                process.terminate()
                reader.join(10)

    def _read(self, lines: Any) -> None:
        for line in lines:
            event = json.loads(line)
            at = time.monotonic() - (time.time() - event["timeNano"] / 1e9)
            self.seen.append(Event(at, event["Action"].partition(":")[0], event["id"]))

    def first(self, action: str, *, of: str = "", not_of: frozenset[str] = frozenset()) -> float | None:
        """When a container did this first: the one that is named, or any but these."""
        times = [
            event.at
            for event in self.seen
            if event.action == action and (not of or event.container == of) and event.container not in not_of
        ]
        return min(times, default=None)

    def most_running(self, at_first: int) -> int:
        """The highest number of running containers at any moment."""
        running = highest = at_first
        for event in sorted(self.seen, key=lambda event: event.at):
            running += {"start": 1, "die": -1}.get(event.action, 0)
            highest = max(highest, running)
        return highest


@dataclass
class Watch:
    """`lists`: what NGINX confirmed to use, at each change, as full ids. `ready_at`: when replicas that are not among
    `known` (or were restarted) first answered that they are ready, as NGINX would see it."""

    stack: Stack
    labels: tuple[str, ...]
    known: frozenset[str] = frozenset()
    lists: list[tuple[float, frozenset[str]]] = field(default_factory=list)
    ready_at: dict[str, float] = field(default_factory=dict)
    given_up: dict[str, float] = field(default_factory=dict)  # the supervisor's end of a question -> when it left it
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self, closings_of: str = "") -> Iterator[Watch]:
        nginx = self.stack.containers("nginx")[0]
        self._nginx_pid = self.stack.pid(nginx)
        network = Network(self._nginx_pid)
        tasks: list[Callable[[], None]] = [lambda: self._follow_lists(network), lambda: self._follow_ready(network)]
        if closings_of:
            victim = self.stack.pid(closings_of)
            asking = addresses(inspect(self.stack, self.stack.containers("supervisor")[0]))
            tasks.append(lambda: self._follow_closings(victim, asking))
        threads = [threading.Thread(target=task, daemon=True) for task in tasks]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(15)
            network.close()

    def without(self, replica: str, since: float) -> float | None:
        """When NGINX confirmed a list without the replica, at or after `since`."""
        return next((at for at, ids in self.lists if at >= since and replica not in ids), None)

    def whole(self, replicas: int, since: float) -> float | None:
        """When NGINX confirmed a list of so many that all answer, at or after `since`."""
        return next((at for at, ids in self.lists if at >= since and len(ids) >= replicas), None)

    def _follow_lists(self, network: Network) -> None:
        folder = Path(f"/proc/{self._nginx_pid}/root/etc/nginx/upstreams")
        while not self._stop.wait(LIST_SECONDS):
            try:
                before = _generation(folder)
                ids = frozenset(_SERVER.findall((folder / "backend.servers").read_text()))
            except OSError:  # there is no list without a supervisor
                continue
            answered = network.text("127.0.0.1", 8080, "/generation").strip()
            is_confirmed = before and answered == before == _generation(folder)
            if is_confirmed and (not self.lists or self.lists[-1][1] != ids):
                self.lists.append((time.monotonic(), ids))

    def _follow_ready(self, network: Network) -> None:
        nginx = set(inspect(self.stack, self.stack.containers("nginx")[0])["NetworkSettings"]["Networks"])
        # No command line: one that starts ten times a second would be the load.
        engine = docker.from_env(timeout=10).api
        while not self._stop.wait(READY_SECONDS):
            for replica in engine.containers(filters={"label": list(self.labels)}):
                identifier, networks = replica["Id"], replica["NetworkSettings"]["Networks"]
                if identifier in self.known or identifier in self.ready_at:
                    continue
                shared = [n["IPAddress"] for name, n in networks.items() if name in nginx and n["IPAddress"]]
                if shared and network.status(shared[0], PORT, "/health/ready", 1.0) == 200:
                    self.ready_at[identifier] = time.monotonic()
        engine.close()

    def first_given_up(self, since: float) -> float | None:
        """When a question of the supervisor's was given up first, at or after `since`."""
        return min((at for at in self.given_up.values() if at >= since), default=None)

    def _follow_closings(self, pid: int, asking: list[str]) -> None:
        """A question that nobody answers is closed by who asked: only then does its connection wait for being closed
        by the replica as well, which a stopped process does not do."""
        hosts = {_in_hex(address) for address in asking}
        table = Path(f"/proc/{pid}/net/tcp")
        while not self._stop.wait(0.02):
            try:
                rows = [line.split() for line in table.read_text().splitlines()[1:]]
            except OSError:
                return
            for row in rows:
                if row[3] == CLOSE_WAIT and row[2].partition(":")[0] in hosts:
                    self.given_up.setdefault(row[2], time.monotonic())


def _filters(labels: tuple[str, ...]) -> list[str]:
    return [word for label in labels for word in ("--filter", f"label={label}")]


def _generation(folder: Path) -> str:
    found = _GENERATION.search((folder / "generation.conf").read_text())
    return found[1] if found else ""


def _in_hex(address: str) -> str:
    """As /proc/net/tcp writes an IPv4 address on a little-endian machine."""
    return "".join(f"{int(part):02X}" for part in reversed(address.split(".")))
