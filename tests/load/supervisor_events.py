"""Measure 10: two thousand events in one go, with the supervisor's way to Docker cut in the middle (docker-guard
is restarted, which for the supervisor is what a restart of the daemon is); then what it shows is compared with what is.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import docker
import httpx
from docker.errors import APIError, NotFound
from docker.models.containers import Container

from tests.e2e.stack import eventually
from tests.load.findings import Finding
from tests.load.supervisor_peers import compose_labels
from tests.load.supervisor_site import Site
from tests.load.supervisor_watch import Events

EVENTS = 2_000
THREADS, CONTAINERS_EACH = 4, 3
SERVICE = "noise"
COUNTED = frozenset({"create", "start", "die", "kill", "stop", "pause", "unpause", "destroy"})
# What the supervisor may call a container that Docker calls so.
WORDS = {
    "running": {"ready", "starting", "not ready", "hung", "leaving", "draining", "restarting"},
    "paused": {"hung"},
    "exited": {"stopped", "crashed", "quarantined", "leaving", "restarting"},
    "created": {"starting"},
    "restarting": {"crashed"},
}


def events(site: Site) -> list[Finding]:
    """The flood, the cut, and the time until nothing differs any more."""
    engine = docker.from_env()
    recorded = Events(compose_labels(site.stack.project, SERVICE))
    chance = random.Random(site.seed)
    try:
        with recorded.recorded(), _noise(site, engine, recorded, chance) as threads:
            eventually(lambda: _count(recorded) >= EVENTS / 2, within_seconds=300)
            guard = site.stack.containers("docker-guard")[0]
            began = time.monotonic()
            site.stack.docker("restart", "--time", "5", guard)
            cut = time.monotonic() - began
            back = time.monotonic()
            seen_again = _until(lambda: _is_complete(site)) - back
            for thread in threads:
                thread.join(300)
            ended = time.monotonic()
            in_step = _until(lambda: not _divergence(site)) - ended
            time.sleep(5)
            left = _divergence(site)
    finally:
        _clear(site, engine)
        engine.close()
    name = f"{EVENTS:,} events, docker-guard restarted in between"
    shown = f"{'; '.join(left) or '0'} (of {_count(recorded):,} events; docker-guard was away for {cut:.1f} s)"
    return [
        Finding(f"{name}: containers that the supervisor shows wrongly", shown, "0"),
        Finding("the same: in step after the last event", f"{in_step:.2f} s", "2 s"),
        Finding("the same: Docker seen again after docker-guard was back", f"{seen_again:.2f} s", "2 s"),
    ]


def _until(condition: Callable[[], bool]) -> float:
    eventually(condition, within_seconds=60, every_seconds=0.05)
    return time.monotonic()


def _is_complete(site: Site) -> bool:
    """Whether the newest cycle has seen Docker."""
    try:
        status = site.supervisor.get("/api/status")
    except httpx.HTTPError:
        return False
    return bool(status["is_complete"])


@contextmanager
def _noise(
    site: Site, engine: docker.DockerClient, recorded: Events, chance: random.Random
) -> Iterator[list[threading.Thread]]:
    """Threads that make, start, freeze, signal, end and remove containers until there were enough events."""
    stop = threading.Event()
    threads = [
        threading.Thread(target=_make_noise, args=(_Noise(site, engine, number, chance.random()), recorded, stop))
        for number in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    try:
        yield threads
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)


def _make_noise(noise: _Noise, recorded: Events, stop: threading.Event) -> None:
    while not stop.is_set() and _count(recorded) < EVENTS:
        noise.one()


class _Noise:
    """Some containers of a service that no policy names: shown, and never touched."""

    def __init__(self, site: Site, engine: docker.DockerClient, number: int, seed: float) -> None:
        self._image = f"modporter/docker-guard:{site.stack.project}"
        self._project, self._engine, self._chance = site.stack.project, engine, random.Random(seed)
        self._numbers = range(number * CONTAINERS_EACH + 1, (number + 1) * CONTAINERS_EACH + 1)
        self._there: dict[int, Container] = {}

    def one(self) -> None:
        number = self._chance.choice(self._numbers)
        container = self._there.get(number)
        if container is None:
            self._there[number] = self._made(number)
            return
        container.reload()
        try:
            if container.status == "running":
                self._chance.choice((container.pause, container.pause, container.kill, lambda: container.kill("URG")))()
            elif container.status == "paused":
                container.unpause()
            elif self._chance.random() < 0.3:
                del self._there[number]
                container.remove(force=True)
            else:
                container.start()
        except APIError as error:
            if error.status_code not in (404, 409):  # it ended between the look and the deed
                raise

    def _made(self, number: int) -> Container:
        labels = dict(label.split("=", 1) for label in compose_labels(self._project, SERVICE))
        compose = "com.docker.compose."
        labels |= {f"{compose}oneoff": "False", f"{compose}container-number": str(number)}
        name = f"{self._project}-{SERVICE}-{number}"
        return self._engine.containers.create(
            self._image, entrypoint=["sleep", "900"], name=name, labels=labels, network_mode="none", mem_limit="16m"
        )


def _count(recorded: Events) -> int:
    return sum(event.action in COUNTED for event in recorded.seen)


def _divergence(site: Site) -> list[str]:
    """Each container that the supervisor shows and that is not there, or not so, and the reverse."""
    filters = ("--filter", f"label=com.docker.compose.project={site.stack.project}")
    rows = site.stack.docker("ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.State}}", *filters).splitlines()
    real = {identifier[:12]: state for identifier, state in (row.split() for row in rows)}
    services = site.supervisor.get("/api/services")
    shown = {replica["id"]: replica["state"] for each in services for replica in each["replicas"].values()}
    missing = [f"{identifier} is {real[identifier]} and not shown" for identifier in real.keys() - shown.keys()]
    ghosts = [f"{identifier} is shown and gone" for identifier in shown.keys() - real.keys()]
    wrong = [
        f"{identifier} is {real[identifier]}, shown as {shown[identifier]}"
        for identifier in real.keys() & shown.keys()
        if shown[identifier] not in WORDS.get(real[identifier], set())
    ]
    return sorted([*missing, *ghosts, *wrong])


def _clear(site: Site, engine: docker.DockerClient) -> None:
    labels = list(compose_labels(site.stack.project, SERVICE))
    for container in engine.containers.list(all=True, filters={"label": labels}):
        try:
            container.remove(force=True, v=True)
        except NotFound:
            continue
