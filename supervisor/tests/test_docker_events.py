"""Events wake the loop; they are never queued, and a stream that ends is opened again."""

from __future__ import annotations

import asyncio
import gc
import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from supervisor.adapters.docker_events import MAX_NAMED, DockerEvents, Ending


def event(action: str, container: str = "c1", service: str = "web", **attributes: str) -> dict[str, Any]:
    labels = {"com.docker.compose.service": service, **attributes}
    return {"Type": "container", "Action": action, "Actor": {"ID": container, "Attributes": labels}}


class Engine(BaseHTTPRequestHandler):
    """Streams `scripts`, one a connection, and ends it; then streams nothing until it is told to stop."""

    protocol_version = "HTTP/1.1"
    scripts: ClassVar[list[list[dict[str, Any]]]] = []
    filters: ClassVar[list[dict[str, Any]]] = []
    stop: ClassVar[threading.Event] = threading.Event()

    def do_GET(self) -> None:
        self.filters.append(json.loads(parse_qs(urlsplit(self.path).query)["filters"][0]))
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if self.scripts:
            for told in self.scripts.pop(0):
                self._chunk(json.dumps(told).encode() + b"\n")
        else:
            self.stop.wait(10)
        self._chunk(b"")
        self.close_connection = True

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def address_string(self) -> str:
        return "socket"

    def log_message(self, *_: object) -> None:
        """Silent."""


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[str]:
    Engine.scripts.clear()
    Engine.filters.clear()
    Engine.stop.clear()
    path = str(tmp_path / "engine.sock")
    with UnixServer(path, Engine) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield path
        Engine.stop.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def events(engine: str) -> Iterator[DockerEvents]:
    made = DockerEvents(engine, "mine", 2.0)
    yield made
    made.close()


async def heard_until(events: DockerEvents, connections: int) -> list[str]:
    """The names until the stream was opened so often and nothing more comes."""
    heard: list[str] = []

    async def listen() -> None:
        async for name in events.names():
            heard.append(name)

    listening = asyncio.create_task(listen())
    for _ in range(500):
        await asyncio.sleep(0.01)
        if len(Engine.filters) >= connections:
            break
    await asyncio.sleep(0.1)
    listening.cancel()
    return heard


async def test_only_what_matters_of_this_project_is_asked_for(events: DockerEvents) -> None:
    await heard_until(events, 1)
    asked = Engine.filters[0]
    assert asked["label"] == ["com.docker.compose.project=mine"]
    assert asked["type"] == ["container"]
    assert {"die", "oom", "health_status"} <= set(asked["event"])
    assert "exec_create" not in asked["event"]


async def test_an_event_names_its_service_and_its_container(events: DockerEvents) -> None:
    Engine.scripts.append([])
    Engine.scripts.append([event("start", "c1"), event("die", "c2", "store")])
    assert {"", "web", "store"} == set(await heard_until(events, 2))


async def test_a_daemon_that_restarts_makes_everything_stale(events: DockerEvents) -> None:
    Engine.scripts += [[event("start")], [event("start")]]
    heard = await heard_until(events, 3)
    assert heard.count("") == 3  # one a connection
    assert events.take_containers() is None
    assert events.take_containers() == frozenset()


async def test_a_flood_is_a_few_names(events: DockerEvents) -> None:
    Engine.scripts.append([event("kill", f"c{n}") for n in range(MAX_NAMED * 4)])
    heard = await heard_until(events, 2)
    assert "web" in heard
    assert len(heard) < 50
    assert events.take_containers() is None  # too many to name: look at all


async def test_the_reader_goes_on_while_nobody_takes_the_names(events: DockerEvents) -> None:
    names = events.names()
    Engine.scripts.append([event("kill", "c1")] * 2000)
    assert await asyncio.wait_for(anext(names), 20) == ""
    for _ in range(500):
        await asyncio.sleep(0.01)
        if len(Engine.filters) >= 2:  # the whole first stream was read
            break
    assert len(Engine.filters) >= 2


async def test_how_a_container_ended_is_remembered_until_it_is_gone(events: DockerEvents) -> None:
    Engine.scripts.append(
        [
            event("oom", "c1"),
            event("die", "c1", exitCode="137"),
            event("die", "c2", exitCode="3"),
            event("die", "c3", exitCode="1"),
            event("destroy", "c3"),
        ]
    )
    await heard_until(events, 2)
    assert events.ending("c1") == Ending(exit_code=137, is_oom_killed=True)
    assert events.ending("c2") == Ending(exit_code=3)
    assert events.ending("c3") is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the SDK leaves failed sockets to gc
async def test_an_engine_that_is_away_is_tried_again_until_it_is_there(tmp_path: Path, engine: str) -> None:
    path = tmp_path / "later.sock"
    events = DockerEvents(str(path), "mine", 2.0)
    names = events.names()
    waiting = asyncio.create_task(anext(names))
    await asyncio.sleep(0.2)
    assert not waiting.done()
    path.symlink_to(engine)
    assert await asyncio.wait_for(waiting, 20) == ""
    events.close()
    gc.collect()  # here, where the warning is ignored
