"""Docker's calls over a real Unix socket: kept connections, changes that are never sent twice, errors in words."""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import ClassVar

import pytest

from supervisor.adapters.docker_client import Conflict, DockerCalls, DockerClient, Missing, unframed
from supervisor.adapters.docker_http import BROKEN, DockerError, DockerNotFound
from supervisor.ports import Refused, Unavailable


class Engine(BaseHTTPRequestHandler):
    """Answers as it was told, by path without version and query; notes each request with its connection."""

    protocol_version = "HTTP/1.1"
    answers: ClassVar[dict[str, tuple[int, bytes]]] = {}
    asked: ClassVar[list[str]] = []
    bodies: ClassVar[list[bytes]] = []
    causes: ClassVar[list[str | None]] = []
    connections: ClassVar[list[int]] = []
    hang: ClassVar[threading.Event] = threading.Event()
    leaves_after: ClassVar[list[str]] = []  # what it answers with, and then closes without a word
    drops: ClassVar[list[str]] = []  # what it reads, and closes instead of answering

    def answer(self) -> None:
        path = self.path.removeprefix("/v1.41").partition("?")[0]
        self.asked.append(f"{self.command} {self.path}")
        self.causes.append(self.headers.get("X-Cause"))
        self.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        self.connections.append(id(self.connection))
        if path in self.drops:
            self.close_connection = True
            return
        if path == "/containers/hangs/json":
            self.hang.wait(5)
        status, body = self.answers.get(path, (404, b'{"message": "No such thing"}'))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = path in self.leaves_after

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def do_DELETE(self) -> None:
        self.answer()

    def address_string(self) -> str:
        return "socket"

    def log_message(self, *_: object) -> None:
        """Silent."""


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that does not wait for the answer is one of the cases."""


@pytest.fixture
def socket_path(tmp_path: Path) -> Iterator[str]:
    for noted in (Engine.asked, Engine.bodies, Engine.causes, Engine.connections, Engine.leaves_after, Engine.drops):
        noted.clear()
    Engine.answers = {
        "/containers/one/json": (200, b'{"Id": "one", "Config": {"Tty": false}}'),
        "/containers/hangs/json": (200, b"{}"),
        "/containers/one/kill": (204, b""),
        "/containers/one/start": (304, b""),
    }
    Engine.hang.clear()
    path = str(tmp_path / "engine.sock")
    with UnixServer(path, Engine) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield path
        Engine.hang.set()
        server.shutdown()
        thread.join()


@pytest.fixture
def client(socket_path: str) -> Iterator[DockerClient]:
    made = DockerClient(socket_path, 2.0)
    yield made
    made.close()


def test_reads_share_a_connection_and_a_change_has_its_own(client: DockerClient) -> None:
    for _ in range(3):
        assert client.inspect_container("one")["Id"] == "one"
    client.kill("one", "TERM")
    client.inspect_container("one")
    read, changed = {*Engine.connections[:3], Engine.connections[4]}, Engine.connections[3]
    assert len(read) == 1
    assert changed not in read
    assert Engine.asked[3] == "POST /v1.41/containers/one/kill?signal=TERM"


def test_a_read_goes_on_over_a_connection_that_died_while_it_lay_idle(client: DockerClient) -> None:
    Engine.leaves_after.append("/containers/one/json")
    assert [client.inspect_container("one")["Id"] for _ in range(3)] == ["one"] * 3


def test_a_change_that_breaks_off_is_not_sent_again(client: DockerClient) -> None:
    client.inspect_container("one")
    Engine.drops.append("/containers/one/kill")
    with pytest.raises(BROKEN):
        client.kill("one", "TERM")
    assert len([asked for asked in Engine.asked if "kill" in asked]) == 1


def test_a_change_says_its_cause_and_a_read_does_not(client: DockerClient) -> None:
    client.caused_by("7-1 surplus:\none too many é")
    client.kill("one", "TERM")
    client.inspect_container("one")
    assert Engine.causes == ["7-1 surplus: one too many ?", None]


def test_what_was_already_so_is_no_error(client: DockerClient) -> None:
    client.start("one")
    assert Engine.asked == ["POST /v1.41/containers/one/start"]


def test_a_name_cannot_become_another_path(client: DockerClient) -> None:
    with pytest.raises(DockerNotFound):
        client.inspect_container("one/json?x=")
    assert Engine.asked == ["GET /v1.41/containers/one%2Fjson%3Fx%3D/json"]


def test_a_list_is_asked_for_as_docker_wants_it(client: DockerClient) -> None:
    Engine.answers["/containers/json"] = (200, b"[]")
    assert client.containers({"label": ["a=b"]}, with_stopped=True) == []
    assert Engine.asked == ["GET /v1.41/containers/json?all=1&filters=%7B%22label%22%3A%5B%22a%3Db%22%5D%7D"]


def test_a_create_gives_the_id_and_sends_the_body(client: DockerClient) -> None:
    Engine.answers["/containers/create"] = (201, b'{"Id": "new"}')
    assert client.create({"Image": "web"}, "web-3") == "new"
    assert json.loads(Engine.bodies[0]) == {"Image": "web"}
    assert Engine.asked == ["POST /v1.41/containers/create?name=web-3"]


@pytest.mark.parametrize("has_terminal", [True, False])
def test_the_last_lines_are_plain_with_and_without_a_terminal(client: DockerClient, has_terminal: bool) -> None:
    framed = b"\x01\0\0\0\0\0\0\x04one\n\x02\0\0\0\0\0\0\x04two\n"
    Engine.answers["/containers/one/logs"] = (200, b"one\ntwo\n" if has_terminal else framed)
    Engine.answers["/containers/one/json"] = (200, json.dumps({"Config": {"Tty": has_terminal}}).encode())
    assert client.logs("one", tail=10) == b"one\ntwo\n"
    assert unframed(framed[:-2]) == b"one\ntw"  # broken off


@pytest.mark.parametrize(
    ("status", "kind", "sentence"),
    [
        (404, Missing, "Docker: No"),
        (409, Conflict, "Docker: No"),
        (403, Refused, "Docker refused: No"),
        (500, Unavailable, "Docker failed: No"),
    ],
)
async def test_errors_are_sentences(socket_path: str, status: int, kind: type[Exception], sentence: str) -> None:
    Engine.answers["/containers/one/kill"] = (status, b'{"message": "No"}')
    calls = DockerCalls(socket_path, 2.0)
    with pytest.raises(kind) as raised:
        await calls.write(lambda client: client.kill("one", "TERM"), "a test")
    assert (type(raised.value), str(raised.value)) == (kind, sentence)
    calls.close()


@pytest.mark.parametrize(("body", "text"), [(b"oops", "oops"), (b"", "status 502"), (b"[]", "[]")])
def test_an_error_that_is_not_dockers_is_shown_as_it_is(client: DockerClient, body: bytes, text: str) -> None:
    Engine.answers["/containers/one/json"] = (502, body)
    with pytest.raises(DockerError) as raised:
        client.inspect_container("one")
    assert (raised.value.status, str(raised.value)) == (502, text)


async def test_silence_and_absence_are_told_apart(socket_path: str, tmp_path: Path) -> None:
    hanging = DockerCalls(socket_path, 0.1)
    with pytest.raises(Unavailable, match="did not answer in time"):
        await hanging.read(lambda client: client.inspect_container("hangs"))
    hanging.close()
    away = DockerCalls(str(tmp_path / "away.sock"), 0.1)
    with pytest.raises(Unavailable, match="cannot be reached"):
        await away.read(lambda client: client.inspect_container("one"))
    away.close()
    Engine.answers["/containers/one/json"] = (200, b"no JSON")
    odd = DockerCalls(socket_path, 2.0)
    with pytest.raises(Unavailable, match="cannot be reached"):
        await odd.read(lambda client: client.inspect_container("one"))
    odd.close()
