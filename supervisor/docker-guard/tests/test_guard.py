"""What goes through, what does not, and what the book says of it: a guard in front of a fake Docker."""

from __future__ import annotations

import json
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from docker_guard import wire
from docker_guard.daemon import Daemon, DaemonAway, Forward
from tests.fixtures.docker_guard_fakes import (
    DB_1,
    FOREIGN,
    FOREIGN_IMAGE,
    GUARD_1,
    IMAGE,
    NEW_IMAGE,
    ONE_OFF,
    WEB_1,
    WEB_2,
    FakeDocker,
    Guard,
    clone_of,
    environment_of,
    fill,
    guard_in_thread,
    guard_process,
)

OWN_LABEL = "com.docker.compose.project=shop"

# -- reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", ["", '{"label": ["a=b"]}', '{"label": ["com.docker.compose.project=bank"]}'])
def test_a_list_is_always_of_the_own_project(docker: FakeDocker, guard: Guard, asked: str) -> None:
    query = f"?all=1&filters={asked}".replace('"', "%22").replace(" ", "+").replace("{", "%7B").replace("}", "%7D")
    query = query.replace("[", "%5B").replace("]", "%5D").replace(":", "%3A").replace("=b", "%3Db")
    query = query.replace("project=", "project%3D")
    status, listed = guard.ask("GET", f"/v1.41/containers/json{query}")
    assert status == 200
    assert f'{{"label": ["{OWN_LABEL}"' in _decoded(docker.seen[-1].target)
    assert all(one["Labels"]["com.docker.compose.project"] == "shop" for one in listed)


def _decoded(target: str) -> str:
    return target.replace("%22", '"').replace("%3A", ":").replace("%3D", "=").replace("%7B", "{").replace("%5B", "[").replace("+", " ")  # fmt: skip  # noqa: E501


@pytest.mark.parametrize("reference", [WEB_1, WEB_1[:12], "shop-web-1"])
@pytest.mark.parametrize("what", ["json", "stats?stream=false&one-shot=1", "logs?stdout=1&tail=5"])
def test_own_containers_are_read_by_their_full_id(docker: FakeDocker, guard: Guard, reference: str, what: str) -> None:
    assert guard.ask("GET", f"/v1.41/containers/{reference}/{what}")[0] == 200
    assert docker.seen[-1].target.startswith(f"/v1.41/containers/{WEB_1}/{what.partition('?')[0]}")


@pytest.mark.parametrize("reference", [FOREIGN, FOREIGN[:12], "bank-web-1"])
@pytest.mark.parametrize(
    ("method", "what"),
    [
        ("GET", "/json"),
        ("GET", "/stats?stream=0&one-shot=1"),
        ("GET", "/logs?tail=1&stdout=1"),
        ("POST", "/start"),
        ("POST", "/stop?t=1"),
        ("POST", "/kill?signal=KILL"),
        ("DELETE", "?v=1"),
    ],
)
def test_another_projects_container_looks_like_none(
    docker: FakeDocker, guard: Guard, reference: str, method: str, what: str
) -> None:
    foreign = guard.ask(method, f"/v1.41/containers/{reference}{what}")
    missing = guard.ask(method, f"/v1.41/containers/{'0' * len(reference)}{what}")
    assert foreign == (404, {"message": f"No such container: {reference}"})
    assert missing == (404, {"message": f"No such container: {'0' * len(reference)}"})
    assert docker.changes() == []


def test_a_name_that_moved_to_another_project_is_noticed(docker: FakeDocker, guard: Guard) -> None:
    assert guard.ask("POST", "/v1.41/containers/shop-web-1/start")[0] == 204
    docker.containers[WEB_1]["Name"], docker.containers[FOREIGN]["Name"] = "/gone", "/shop-web-1"
    assert guard.ask("POST", "/v1.41/containers/shop-web-1/start")[0] == 404
    assert len(docker.changes()) == 1


def test_readers_see_no_values_of_the_environment(docker: FakeDocker, guard: Guard) -> None:
    assert "Env" in guard.ask("GET", f"/v1.41/containers/{WEB_1}/json")[1]["Config"]
    status, seen = guard.ask("GET", f"/v1.41/containers/{WEB_1}/json", path=guard.read)
    assert status == 200
    assert "Env" not in seen["Config"]
    assert "secret" not in json.dumps(seen).replace("/run/secrets/s1", "")
    assert seen["Config"]["Labels"] == docker.containers[WEB_1]["Config"]["Labels"]


@pytest.mark.parametrize(
    ("reference", "status"),
    [
        ("shop/web:shop", 200),
        ("shop/web:v2", 200),
        (IMAGE, 200),
        (NEW_IMAGE, 200),
        ("shop/web:none", 404),
        ("bank/web:bank", 403),
        ("bank/web:none", 403),
        (FOREIGN_IMAGE, 404),
        (f"sha256:{'0' * 64}", 404),
    ],
)
def test_images_of_the_own_repositories_are_read(docker: FakeDocker, guard: Guard, reference: str, status: int) -> None:
    assert guard.ask("GET", f"/v1.41/images/{reference}/json")[0] == status


def test_events_are_the_own_projects_and_come_as_they_happen(docker: FakeDocker, guard: Guard) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(guard.read))
        client.sendall(b"GET /v1.41/events HTTP/1.1\r\nHost: docker\r\n\r\n")
        received = b""
        while b'"die"' not in received:
            received += client.recv(1000)
        [asked] = [seen for seen in docker.seen if "/events" in seen.target]
        assert OWN_LABEL in _decoded(asked.target)
    _eventually(lambda: any(seen.method == "LEFT" for seen in docker.seen))  # Docker is let go with the client


# -- changes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "target", "forwarded"),
    [
        ("POST", "/v1.41/containers/shop-web-1/start", f"/v1.41/containers/{WEB_1}/start"),
        ("POST", "/v1.41/containers/shop-web-1/stop?t=007", f"/v1.41/containers/{WEB_1}/stop?t=7"),
        ("POST", "/v1.41/containers/shop-web-1/kill?signal=HUP", f"/v1.41/containers/{WEB_1}/kill?signal=SIGHUP"),
        ("DELETE", "/v1.41/containers/shop-web-1?v=True&link=False&force=0", f"/v1.41/containers/{WEB_1}?v=1"),
        ("DELETE", "/v1.41/containers/shop-web-1", f"/v1.41/containers/{WEB_1}?v=0"),
        (
            "POST",
            "/v1.41/images/shop/web:v2/tag?repo=shop/web&tag=shop",
            f"/v1.41/images/{NEW_IMAGE}/tag?repo=shop%2Fweb&tag=shop",
        ),
        (
            "POST",
            f"/v1.41/images/{IMAGE}/tag?repo=shop/web&tag=shop-previous",
            f"/v1.41/images/{IMAGE}/tag?repo=shop%2Fweb&tag=shop-previous",
        ),
        (
            "POST",
            f"/v1.41/images/{IMAGE}/tag?repo=shop/web&tag={'1' * 16}",  # the beginning of its own id
            f"/v1.41/images/{IMAGE}/tag?repo=shop%2Fweb&tag={'1' * 16}",
        ),
    ],
)
def test_a_change_is_written_anew(docker: FakeDocker, guard: Guard, method: str, target: str, forwarded: str) -> None:
    assert guard.ask(method, target)[0] in {201, 204}
    [seen] = docker.changes()
    assert (seen.method, seen.target, seen.body) == (method, forwarded, b"")
    assert seen.headers.keys() == {"host", "content-length"}  # nothing of the client's


@pytest.mark.parametrize("reference", ["shop-docker-guard-1", GUARD_1, "shop-web-run-1", ONE_OFF])
@pytest.mark.parametrize(
    ("method", "what"), [("POST", "/start"), ("POST", "/stop"), ("POST", "/kill?signal=TERM"), ("DELETE", "")]
)
def test_the_guard_and_one_offs_are_only_read(
    docker: FakeDocker, guard: Guard, reference: str, method: str, what: str
) -> None:
    assert guard.ask("GET", f"/v1.41/containers/{reference}/json")[0] == 200
    assert guard.ask(method, f"/v1.41/containers/{reference}{what}")[0] == 403
    assert docker.changes() == []


def test_the_supervisor_cannot_touch_itself(docker: FakeDocker, guard: Guard) -> None:
    own = docker.containers[WEB_2] | {"Id": "5" * 64, "Name": "/shop-supervisor-1"}
    own["Config"]["Labels"]["com.docker.compose.service"] = "supervisor"
    docker.containers[own["Id"]] = own
    assert guard.ask("POST", "/v1.41/containers/shop-supervisor-1/kill?signal=KILL")[0] == 403
    assert docker.changes() == []


def test_a_store_is_never_started_a_second_time(docker: FakeDocker, guard: Guard) -> None:
    """Two databases on one volume destroy it: worse than anything that stopping them could do."""
    second = clone_of(docker.containers[DB_1], 2) | {"Image": IMAGE, "NetworkingConfig": {}}
    status, answer = guard.ask("POST", "/v1.41/containers/create?name=shop-db-2", second)
    assert (status, docker.changes()) == (403, [])
    assert "db runs once" in answer["message"]


def test_the_last_container_of_a_service_stays(docker: FakeDocker, guard: Guard) -> None:
    status, answer = guard.ask("DELETE", f"/v1.41/containers/{DB_1}")
    assert (status, docker.changes()) == (403, [])
    assert "last container of db" in answer["message"]
    clone = "6" * 64
    docker.containers[clone] = json.loads(json.dumps(docker.containers[DB_1]).replace(DB_1, clone))
    docker.containers[clone]["Config"]["Labels"]["supervisor.clone"] = "a-1"
    assert guard.ask("DELETE", f"/v1.41/containers/{DB_1}")[0] == 204
    del docker.containers[DB_1]  # somebody took the project down: what is left over may go
    assert guard.ask("DELETE", f"/v1.41/containers/{clone}")[0] == 204


@pytest.mark.parametrize(
    "target",
    [
        "/v1.41/images/shop/web:v2/tag?repo=shop/web&tag=v1",
        "/v1.41/images/shop/web:v2/tag?repo=shop/web&tag=bank",
        "/v1.41/images/shop/web:v2/tag?repo=bank/web&tag=shop",
        "/v1.41/images/shop/web:v2/tag?repo=shop/db&tag=shop",
        "/v1.41/images/bank/web:bank/tag?repo=shop/web&tag=shop",
        f"/v1.41/images/{FOREIGN_IMAGE}/tag?repo=shop/web&tag=shop",
        "/v1.41/images/shop/web:none/tag?repo=shop/web&tag=shop",
        "/v1.41/images/shop/web:v2/tag?repo=evil.example/shop/web&tag=shop",
    ],
)
def test_only_the_own_tags_are_moved_and_only_to_own_images(docker: FakeDocker, guard: Guard, target: str) -> None:
    assert guard.ask("POST", target)[0] in {403, 404}
    assert docker.changes() == []


def test_readers_change_nothing(docker: FakeDocker, guard: Guard, body: dict[str, Any]) -> None:
    for method, target, content in (
        ("POST", "/v1.41/containers/create?name=shop-web-3", body),
        ("POST", f"/v1.41/containers/{WEB_1}/start", None),
        ("POST", f"/v1.41/containers/{WEB_1}/kill?signal=TERM", None),
        ("DELETE", f"/v1.41/containers/{WEB_1}", None),
        ("GET", f"/v1.41/containers/{WEB_1}/logs?stdout=1&tail=1", None),
        ("GET", "/guard/audit", None),
    ):
        assert guard.ask(method, target, content, path=guard.read)[0] == 403
    assert docker.seen == []


# -- the wire --------------------------------------------------------------------------------------------------------

START = f"POST /v1.41/containers/{WEB_1}/start HTTP/1.1\r\n".encode()
PING = b"GET /_ping HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /_ping HTTP/1.1\r\n\r\n",  # no Host
        b"GET /_ping HTTP/1.0\r\nHost: x\r\n\r\n",
        b"GET /_ping HTTP/1.2\r\nHost: x\r\n\r\n",
        b"GET /_ping HTTP/2.0\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /_ping\r\n\r\n",
        b"GET  /_ping HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /_ping  HTTP/1.1\r\nHost: x\r\n\r\n",
        b" GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\r\n" + PING + b"\r\n",
        b"GET http://docker/_ping HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /_ping\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /_p\xc3\xafng HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /%5fping HTTP/1.1\r\nHost: x\r\n\r\n",
        PING + b"Host: y\r\n\r\n",
        PING + b"X-A: 1\r\nx-a: 2\r\n\r\n",
        PING + b"X-A : 1\r\n\r\n",
        PING + b"X-A: 1\r\n folded\r\n\r\n",
        PING + b"X-A: \x00\r\n\r\n",
        PING + b"X-A: a\rb\r\n\r\n",
        PING + b"X-A: a\nX-B: b\r\n\r\n",
        PING + b"no colon\r\n\r\n",
        PING + b": empty\r\n\r\n",
        PING + b"Upgrade: tcp\r\nConnection: Upgrade\r\n\r\n",
        PING + b"Connection: Upgrade\r\n\r\n",
        PING + b"Connection: close, Upgrade\r\n\r\n",
        PING + b"Upgrade: h2c\r\n\r\n",
        PING + b"Expect: 100-continue\r\n\r\n",
        PING + b"TE: trailers\r\n\r\n",
        PING + b"Content-Length: 2\r\n\r\n{}",
        START + b"Host: x\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        START + b"Host: x\r\nContent-Length: 0, 0\r\n\r\n",
        START + b"Host: x\r\nContent-Length: +0\r\n\r\n",
        START + b"Host: x\r\nContent-Length: 0x0\r\n\r\n",
        START + b"Host: x\r\nContent-Length: -1\r\n\r\n",
        START + b"Host: x\r\nContent-Length: \r\n\r\n",
        START + b"Host: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
        START + b"Host: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        START + b"Host: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n",
        START + b"Host: x\r\nTransfer-Encoding: identity\r\n\r\n",
        START + b"Host: x\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n",
        START + b"Host: x\r\nContent-Length: 2\r\n\r\n{}",
        START + b"Host: x\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(40)) + b"\r\n",
        START + b"Host: x\r\nX-A: " + b"a" * 20_000 + b"\r\n\r\n",
        b"POST /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
)
def test_what_is_not_plain_http_is_refused(docker: FakeDocker, guard: Guard, raw: bytes) -> None:
    status, answer = guard.say(raw)
    assert 400 <= status < 500
    assert answer["message"].startswith("docker-guard: ")
    assert docker.seen == []


def test_a_large_body_is_refused_before_it_is_read(tmp_path: Path, docker: FakeDocker) -> None:
    body = b'{"Image": "' + b"a" * 10_000_000 + b'"}'
    head = f"POST /v1.41/containers/create?name=shop-web-3 HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    with guard_process(tmp_path, docker) as (guard, process):
        before = _resident_bytes(process.pid)
        assert guard.say(head.encode() + body)[0] == 413
        assert guard.say(head.encode())[0] == 413  # although not a byte of it was sent
        assert _resident_bytes(process.pid) < before + 2_000_000
    assert docker.seen == []


def _resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return 1024 * int(status.partition("VmRSS:")[2].split()[0])


def test_half_a_request_changes_nothing(docker: FakeDocker, guard: Guard, body: dict[str, Any]) -> None:
    content = json.dumps(body).encode()
    head = (
        f"POST /v1.41/containers/create?name=shop-web-3 HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n\r\n"
    )
    for raw in (START, START + b"Host: x\r\n", head.encode() + content[:-1]):
        assert guard.say(raw) == (0, None)
    assert docker.seen == []


def test_a_request_that_dawdles_is_given_up(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "ARRIVAL_SECONDS", 0.1)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(guard.full))
        client.sendall(PING)
        assert client.recv(1000).startswith(b"HTTP/1.1 408 ")


def test_a_silent_connection_is_closed(guard: Guard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "IDLE_SECONDS", 0.1)
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(guard.full))
        client.sendall(PING + b"\r\n")
        answer = b""
        while piece := client.recv(1000):
            answer += piece
        assert answer.startswith(b"HTTP/1.1 200 ")


def test_a_body_ends_where_its_length_says(docker: FakeDocker, guard: Guard) -> None:
    """What follows is another request, judged on its own: nothing can be smuggled behind an allowed one."""
    kill = f"POST /v1.41/containers/{FOREIGN}/kill?signal=KILL HTTP/1.1\r\nHost: x\r\n\r\n".encode()
    answer = _all_of(guard, START + b"Host: x\r\nContent-Length: 0\r\n\r\n" + kill + PING + b"\r\n")
    assert [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]] == [204, 404, 200]
    assert [seen.target for seen in docker.changes()] == [f"/v1.41/containers/{WEB_1}/start"]


def _all_of(guard: Guard, raw: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(guard.full))
        client.sendall(raw)
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := client.recv(65536):
            answer += piece
    return answer


# -- the book --------------------------------------------------------------------------------------------------------


@pytest.fixture
def fresh_guard(tmp_path: Path, docker: FakeDocker) -> Iterator[Guard]:
    """One that has not refused so much already that it writes no more of it down."""
    with guard_in_thread(tmp_path, docker) as guard:
        yield guard


def test_changes_and_refusals_are_in_the_book_with_their_cause(docker: FakeDocker, fresh_guard: Guard) -> None:
    guard = fresh_guard
    guard.ask("GET", f"/v1.41/containers/{WEB_1}/json")
    guard.ask("POST", f"/v1.41/containers/{WEB_1}/start")
    guard.ask("POST", f"/v1.41/containers/{GUARD_1}/start")
    guard.ask("GET", f"/v1.41/containers/{FOREIGN}/json", path=guard.read)
    guard.ask("GET", "/v1.41/containers/none/json")
    book = guard.audit()
    assert [(entry["listener"], entry["verdict"], entry["status"]) for entry in book["entries"]] == [
        ("full", "allowed", 204),
        ("full", "refused", 403),
        ("read", "refused", 404),
    ]
    first, second, third = book["entries"]
    assert first["cause"] == "a test"
    assert (first["kind"], first["subject"]) == ("start", "shop-web-1")
    assert first["path"] == f"/v1.41/containers/{WEB_1}/start"
    assert "docker-guard is not changed from here" in second["reason"]
    assert third["reason"] == "the container is not the project's"
    assert book["reads"]["inspect"] == 3
    assert book["newest"] == 3
    assert [entry["id"] for entry in guard.audit(after=2)["entries"]] == [3]


def test_a_successor_that_compose_has_not_renamed_yet_is_told_by_its_name_to_be(
    docker: FakeDocker, fresh_guard: Guard
) -> None:
    docker.containers[WEB_1]["Name"] = "/0123456789ab_shop-web-1"
    fresh_guard.ask("POST", f"/v1.41/containers/{WEB_1}/start")
    assert fresh_guard.audit()["entries"][0]["subject"] == "shop-web-1"


def test_the_book_of_another_guard_has_another_name(tmp_path: Path, docker: FakeDocker, fresh_guard: Guard) -> None:
    known = fresh_guard.audit()["book"]
    assert fresh_guard.audit()["book"] == known
    folder = tmp_path / "another"
    folder.mkdir()
    with guard_in_thread(folder, docker) as another:
        assert another.audit()["book"] != known


def test_a_cause_cannot_forge_the_book(docker: FakeDocker, guard: Guard) -> None:
    newest = guard.audit()["newest"]
    cause = "ä\u202e\x85".encode() + b"\xff" + b"x" * 1000
    assert guard.say(START + b"Host: x\r\nX-Cause: " + cause + b"\r\n\r\n")[0] == 204
    [entry] = guard.audit(after=newest)["entries"]
    assert entry["cause"].startswith("ä??\ufffdxxx")
    assert len(entry["cause"]) == 300


def test_a_flood_of_refusals_does_not_drown_the_book(docker: FakeDocker, fresh_guard: Guard) -> None:
    guard = fresh_guard
    for _ in range(300):
        guard.ask("GET", "/v1.41/info")
    assert guard.ask("POST", f"/v1.41/containers/{WEB_1}/start")[0] == 204
    book = guard.audit()
    assert len(book["entries"]) < 120
    assert book["refusals"] == 300
    assert book["entries"][-1]["verdict"] == "allowed"
    assert book["entries"][-1]["refusals_left_out"] > 180


# -- the process -----------------------------------------------------------------------------------------------------


def _eventually(condition: Any, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def _check(docker: FakeDocker) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "docker_guard", "check"],
        env=environment_of(docker.socket.parent, docker),
        check=False,
        capture_output=True,
        text=True,
        timeout=20,
    )
    return done.returncode, done.stderr


def test_the_guard_outlives_docker(docker: FakeDocker, guard: Guard) -> None:
    assert _check(docker) == (0, "")
    docker.stop()
    try:
        status, answer = guard.ask("GET", f"/v1.41/containers/{WEB_1}/stats?stream=0&one-shot=1")
        assert status == 502
        assert "Docker's socket cannot be reached" in answer["message"]
        newest = guard.audit()["newest"]
        assert guard.ask("POST", f"/v1.41/containers/{WEB_1}/start")[0] == 502
        assert guard.audit(after=newest)["entries"][0]["verdict"] == "failed"
        code, said = _check(docker)
        assert code == 1
        assert "502" in said
    finally:
        docker.start()
    assert guard.ask("GET", f"/v1.41/containers/{WEB_1}/stats?stream=0&one-shot=1")[0] == 200
    assert _check(docker) == (0, "")


async def test_docker_that_does_not_answer_is_away(own_docker: FakeDocker) -> None:
    own_docker.delay_seconds = 1.0
    daemon = Daemon(own_docker.socket)
    start = Forward(method="POST", path=f"/v1.41/containers/{WEB_1}/start", answer_seconds=0.1)
    with pytest.raises(DaemonAway, match="does not answer"):
        async with daemon.ask(start):
            pass
    daemon.close()


def test_an_answer_that_breaks_off_is_not_passed_on_as_whole(docker: FakeDocker, guard: Guard) -> None:
    docker.is_breaking_off = True
    try:
        assert guard.ask("GET", f"/v1.41/containers/{WEB_1[:12]}/json")[0] == 502  # the guard's own question
        answer = _all_of(guard, PING.replace(b"_ping", b"version") + b"\r\n")
    finally:
        docker.is_breaking_off = False
    head, _, body = answer.partition(b"\r\n\r\n")
    [length] = [int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")]
    assert len(body) < length


def test_a_change_is_never_sent_twice(docker: FakeDocker, guard: Guard) -> None:
    """Docker restarts between two requests: a read on the old connection is repeated, a change has a new one."""
    assert guard.ask("GET", f"/v1.41/containers/{WEB_1}/json")[0] == 200
    docker.stop()
    docker.start()
    assert guard.ask("POST", f"/v1.41/containers/{WEB_1}/start")[0] == 204
    assert guard.ask("GET", f"/v1.41/containers/{WEB_1}/json")[0] == 200
    assert len(docker.changes()) == 1


def test_many_at_once(docker: FakeDocker, guard: Guard) -> None:
    answers: list[int] = []

    def read() -> None:
        for _ in range(10):
            answers.append(guard.ask("GET", f"/v1.41/containers/{WEB_1}/stats?stream=0&one-shot=1")[0])

    threads = [threading.Thread(target=read) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert answers == [200] * 200


def test_too_many_connections_are_turned_away(guard: Guard) -> None:
    clients = []
    try:
        for _ in range(70):
            client = socket.socket(socket.AF_UNIX)
            clients.append(client)
            client.settimeout(20)
            client.connect(str(guard.full))
        assert clients[-1].recv(1000).startswith(b"HTTP/1.1 503 ")
        assert guard.ask("GET", "/_ping", path=guard.read)[0] == 200  # the other listener has its own
    finally:
        for client in clients:
            client.close()
    _eventually(lambda: guard.ask("GET", "/_ping")[0] == 200)


@pytest.fixture
def own_docker(tmp_path: Path) -> Iterator[FakeDocker]:
    docker = FakeDocker(tmp_path / "docker.sock")
    fill(docker)
    docker.start()
    yield docker
    docker.stop()


def test_sigterm_ends_it_cleanly(tmp_path: Path, own_docker: FakeDocker) -> None:
    with guard_process(tmp_path, own_docker) as (guard, process), socket.socket(socket.AF_UNIX) as waiting:
        for path in (guard.full, guard.read):
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
        waiting.connect(str(guard.full))
        waiting.sendall(b"GET /_p")
        assert guard.ask("POST", f"/v1.41/containers/{WEB_1}/start")[0] == 204
        process.terminate()
        assert process.wait(timeout=15) == 0
        assert process.stdout is not None
        lines = [json.loads(line) for line in process.stdout]
        assert [line["event"] for line in lines] == ["call", "stopped"]
        assert lines[0]["cause"] == "a test"
        assert not guard.full.exists()
        assert not guard.read.exists()


def test_a_socket_that_a_killed_guard_left_is_taken_over(tmp_path: Path, own_docker: FakeDocker) -> None:
    with guard_process(tmp_path, own_docker) as (guard, process):
        process.kill()
        process.wait(timeout=5)
        assert guard.full.exists()
    with guard_process(tmp_path, own_docker) as (guard, _):
        assert guard.ask("GET", "/_ping")[0] == 200


def test_a_change_in_hand_is_finished_before_it_ends(tmp_path: Path, own_docker: FakeDocker) -> None:
    own_docker.delay_seconds = 1.0
    answers: list[int] = []
    with guard_process(tmp_path, own_docker) as (guard, process):
        asking = threading.Thread(
            target=lambda: answers.append(guard.ask("POST", f"/v1.41/containers/{WEB_1}/stop?t=10")[0])
        )
        asking.start()
        _eventually(lambda: bool(own_docker.changes()))
        process.terminate()
        assert process.wait(timeout=15) == 0
        asking.join(10)
    assert answers == [204]


@pytest.mark.parametrize("project", ["", "Shop", "shop,bank", "-shop", "shop\n"])
def test_it_does_not_start_without_a_project(project: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "docker_guard"],
        env={"PROJECT": project},
        check=False,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 2
    assert "PROJECT" in done.stderr
