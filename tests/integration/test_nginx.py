"""The project's NGINX configuration in a real NGINX, in front of servers that say what reached them."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import docker
import httpx
import pytest
from docker.errors import DockerException, NotFound
from docker.models.containers import Container

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "mp-it-nginx"
API_RATE, UPLOAD_RATE, MAX_CONNECTIONS, MAX_UPLOAD_MB = 20, 12, 10, 1


@dataclass(frozen=True)
class Door:
    """A running NGINX and the replicas behind it."""

    https: int
    http: int
    nginx: Container
    backends: tuple[Container, ...]
    supervisor: Container

    @property
    def backend_names(self) -> set[str]:
        return {backend.id[:12] for backend in self.backends if backend.id}

    def visitor(self) -> httpx.Client:
        return httpx.Client(base_url=f"https://localhost:{self.https}", verify=False, timeout=10)  # noqa: S501

    @contextlib.contextmanager
    def raw(self) -> Iterator[ssl.SSLSocket]:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection(("127.0.0.1", self.https), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            yield connection

    def get_verbatim(self, path: str) -> tuple[int, str]:
        """Status and body for a path that is sent as it is written; httpx would tidy it up."""
        with self.raw() as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: connection.recv(4096), b"")).decode()
        return int(answer.split()[1]), answer.partition("\r\n\r\n")[2]


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    try:
        client = docker.from_env()
        client.ping()
    except DockerException as error:
        if os.environ.get("REQUIRE_DOCKER") == "1":
            raise
        pytest.skip(f"no Docker engine answers: {error}")
    _remove_leftovers(client)
    certificate = _certificate(tmp_path_factory.mktemp("tls"))
    network = client.networks.create(PREFIX)
    try:
        yield _start(client, network.name, certificate)
    finally:
        _remove_leftovers(client)
        client.close()


def _remove_leftovers(client: docker.DockerClient) -> None:
    for container in client.containers.list(all=True, filters={"name": f"^/{PREFIX}"}):
        container.remove(force=True)
    with contextlib.suppress(NotFound):
        client.networks.get(PREFIX).remove()


def _certificate(folder: Path) -> Path:
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", folder / "tls_key")
    names = ("-subj", "/CN=localhost", "-days", "2", "-out", folder / "tls_certificate")
    subprocess.run(["openssl", "req", "-x509", *key, *names], check=True, capture_output=True)
    for name in ("tls_key", "tls_certificate"):
        (folder / name).chmod(0o444)
    folder.chmod(0o755)
    return folder


def _start(client: docker.DockerClient, network: str, secrets: Path) -> Door:
    server = {str(ROOT / "tests/fixtures/echo_upstream.py"): {"bind": "/echo.py", "mode": "ro"}}

    def upstream(name: str, *aliases: str, port: str = "8000") -> Container:
        container = client.containers.create(
            "modporter/python:local", ["/usr/bin/python3", "/echo.py", port], name=f"{PREFIX}-{name}", volumes=server
        )
        client.networks.get(network).connect(container, aliases=list(aliases))
        client.networks.get("bridge").disconnect(container)
        container.start()
        return container

    backends = (upstream("backend-1", "backend"), upstream("backend-2", "backend"))
    upstream("others", "frontend", "ai-engine")
    supervisor = upstream("supervisor", "supervisor", port="8090")
    mounts = {str(ROOT / "nginx" / name): {"bind": f"/etc/nginx/{name}", "mode": "ro"} for name in _configuration()}
    nginx = client.containers.run(
        "modporter/nginx:local",
        name=PREFIX,
        detach=True,
        network=network,
        user="101:101",
        read_only=True,
        cap_drop=["ALL"],
        tmpfs={"/run/nginx": "uid=101,gid=101", "/var/cache/nginx": "uid=101,gid=101", "/tmp": ""},
        ports={"80/tcp": ("127.0.0.1", None), "443/tcp": ("127.0.0.1", None)},
        sysctls={"net.ipv4.ip_unprivileged_port_start": "0"},
        environment={
            "NGINX_ENVSUBST_OUTPUT_DIR": "/run/nginx",
            "DOMAIN": "modporter.test",
            "HTTPS_PORT": "443",
            "API_RATE": API_RATE,
            "UPLOAD_RATE": UPLOAD_RATE,
            "MAX_CONNECTIONS": MAX_CONNECTIONS,
            "MAX_UPLOAD_MB": MAX_UPLOAD_MB,
            "REAL_IP_FROM": "192.0.2.1",
        },
        volumes={**mounts, str(secrets): {"bind": "/run/secrets", "mode": "ro"}},
    )
    _wait_until_it_answers(nginx)
    nginx.reload()
    ports = {port: int(bound[0]["HostPort"]) for port, bound in nginx.ports.items() if bound}
    return Door(ports["443/tcp"], ports["80/tcp"], nginx, backends, supervisor)


def _wait_until_it_answers(nginx: Container) -> None:
    deadline = time.monotonic() + 20
    while True:
        nginx.reload()
        assert nginx.status in ("created", "running"), nginx.logs().decode()
        if nginx.exec_run(["curl", "-fsS", "http://127.0.0.1:8080/healthz"]).exit_code == 0:
            return
        assert time.monotonic() < deadline, nginx.logs().decode()
        time.sleep(0.3)


def _configuration() -> tuple[str, ...]:
    return ("nginx.conf", "conf.d", "snippets", "templates")


def requests_seen(container: Container, path: str) -> int:
    return sum(path in line for line in container.logs().decode().splitlines())


@pytest.fixture(autouse=True)
def rested() -> None:
    """The limits count over a second; each scenario begins with none used up."""
    time.sleep(1.2)


def test_requests_reach_both_replicas_with_headers_that_nobody_forged(door: Door) -> None:
    forged = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Host": "evil.example", "Forwarded": "for=6.6.6.6"}
    with door.visitor() as visitor:
        answers = [visitor.get("/api/v1/things", headers=forged).json() for _ in range(12)]
    assert len({answer["replica"] for answer in answers}) == 2
    for seen in (answer["headers"] for answer in answers):
        assert seen["X-Forwarded-For"] == seen["X-Real-IP"] != "6.6.6.6"
        assert seen["X-Forwarded-Proto"] == "https"
        assert not {"X-Forwarded-Host", "Forwarded"} & seen.keys()


def test_one_address_gets_its_rate_and_then_429_with_a_reason(door: Door) -> None:
    with door.visitor() as visitor:
        answers = [visitor.get("/api/v1/things") for _ in range(API_RATE * 4)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert {answer.status_code for answer in answers} == {200, 429}
    assert refused[0].json()["code"] == "rate_limited"
    assert refused[0].headers["retry-after"] == "2"
    assert refused[0].headers["x-request-id"] == refused[0].json()["request_id"]


def test_an_upload_is_answered_while_it_still_comes(door: Door) -> None:
    with door.raw() as connection:
        head = "POST /api/v1/conversions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 900000\r\n\r\n"
        connection.sendall(head.encode() + b"the first bytes")
        assert connection.recv(12) == b"HTTP/1.1 413"


def test_a_giant_is_refused_by_its_announced_size(door: Door) -> None:
    with door.visitor() as visitor:
        answer = visitor.post("/api/v1/conversions", content=bytes(2_000_000))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")


def test_a_websocket_passes_through(door: Door) -> None:
    with door.raw() as connection:
        upgrade = "Host: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        connection.sendall(f"GET /api/v1/ws/echo HTTP/1.1\r\n{upgrade}\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += connection.recv(1024)
        assert answer.startswith(b"HTTP/1.1 101")
        connection.sendall(b"\x81\x05hello")
        assert connection.recv(7) == b"\x81\x05hello"


def test_a_post_that_was_sent_is_never_sent_again(door: Door) -> None:
    with door.visitor() as visitor:
        answer = visitor.post("/api/v1/die", content=b"once")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert sum(requests_seen(backend, "POST /api/v1/die") for backend in door.backends) == 1


def test_replicas_that_all_failed_a_moment_ago_are_still_asked(door: Door) -> None:
    with door.visitor() as visitor:
        for _ in range(4):
            visitor.post("/api/v1/die", content=b"each marks the replica that it met")
        assert {visitor.get("/api/v1/things").status_code for _ in range(8)} == {200}


def test_names_that_are_not_ours_are_not_answered(door: Door) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(f"http://127.0.0.1:{door.http}/", headers={"Host": "evil.example"})
    ours = httpx.get(f"http://127.0.0.1:{door.http}/x?y=1", headers={"Host": "modporter.test"})
    assert (ours.status_code, ours.headers["location"]) == (308, "https://modporter.test/x?y=1")


@pytest.mark.parametrize(
    "path", ["/metrics", "/health/load", "/health/detailed", "//metrics", "/%6detrics", "/x/../health/load", "/health/"]
)
def test_what_services_say_of_themselves_is_not_public(door: Door, path: str) -> None:
    status, body = door.get_verbatim(path)
    assert status == 404
    assert "replica" not in body


def test_the_status_page_goes_to_the_supervisor_without_credentials(door: Door) -> None:
    sent = {"Cookie": "session=mine", "Authorization": "Bearer mine", "Accept": "text/html"}
    with door.visitor() as visitor:
        assert visitor.get("/status").headers["location"] == "https://localhost/status/"
        answers = [visitor.get(f"/status/{rest}", headers=sent) for rest in ("", "static/page.js", "events")]
        assert [answer.json()["path"] for answer in answers] == ["/public/", "/public/static/page.js", "/public/events"]
        for seen in (answer.json()["headers"] for answer in answers):
            assert not {"Cookie", "Authorization"} & seen.keys()
        assert visitor.post("/status/", content=b"x").status_code == 403
    for odd in ("/status/../api/status", "/status/%2e%2e/api/status", "/status/..%2fapi/status"):
        seen = json.loads(door.get_verbatim(odd)[1])
        assert seen["replica"] in door.backend_names, "it left /status, so it is the backend's"
    for odd in ("/status/%252e%252e/api", "/status/a%20b", "/status/a;b"):
        assert door.get_verbatim(odd)[0] == 404


@pytest.mark.parametrize("path", ["/", "/api/v1/things", "/api/v1/conversions/1/events", "/api/v1/ws/1"])
def test_the_operators_session_is_not_told_to_the_applications(door: Door, path: str) -> None:
    """A browser knows no ports: what the supervisor's page on this host gave it, it sends to this page too."""
    cookies = {
        "session=mine": "session=mine",
        "supervisor_session=operators": "",
        "a=1; supervisor_session=operators.x-y_z; b=2": "a=1; b=2",
        "supervisor_session=planted; a=1; supervisor_session=operators": "",
    }
    with door.visitor() as visitor:
        for sent, arrives in cookies.items():
            seen = visitor.get(path, headers={"Cookie": sent}).json()["headers"]
            assert seen.get("Cookie", "") == arrives


def test_the_status_page_has_a_limit_of_its_own(door: Door) -> None:
    with door.visitor() as visitor, ThreadPoolExecutor(8) as at_once:  # one by one, a busy machine stays below it
        assert 429 in {answer.status_code for answer in at_once.map(visitor.get, ["/status/"] * 120)}


def test_without_the_supervisor_there_is_a_plain_page_and_the_rest_goes_on(door: Door) -> None:
    door.supervisor.kill()
    time.sleep(1.5)
    with door.visitor() as visitor:
        answer = visitor.get("/status/")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert answer.headers["content-type"].startswith("text/html")
        assert "No status right now" in answer.text
        assert visitor.get("/api/v1/things").status_code == 200


def test_without_lists_the_generation_is_zero(door: Door) -> None:
    answer = door.nginx.exec_run(["curl", "-fsS", "http://127.0.0.1:8080/generation"])
    assert answer.output == b"0\n"


def test_one_address_has_its_connections_and_then_429_until_one_ends(door: Door) -> None:
    upgrade = b"GET /api/v1/ws/echo HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    with contextlib.ExitStack() as opened, door.visitor() as visitor:
        for _ in range(MAX_CONNECTIONS):
            connection = opened.enter_context(door.raw())
            connection.sendall(upgrade)
            assert connection.recv(4096).startswith(b"HTTP/1.1 101 ")
        refused = visitor.get("/api/v1/things")
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        connection.close()
        time.sleep(0.5)  # NGINX sees that it ended
        assert visitor.get("/api/v1/things").status_code == 200


def test_uploads_have_a_limit_of_their_own(door: Door) -> None:
    """Near the end, because what it uses up comes back at one upload in five seconds."""
    with door.visitor() as visitor:
        statuses = {visitor.post("/api/v1/conversions", content=b"x" * 20).status_code for _ in range(UPLOAD_RATE + 4)}
        assert 429 in statuses
        time.sleep(1.2)
        assert visitor.get("/api/v1/conversions").status_code == 200


def test_a_dead_replica_is_passed_over(door: Door) -> None:
    """Last, because a replica does not come back."""
    door.backends[0].kill()
    with door.visitor() as visitor:
        statuses = []
        for _ in range(40):
            time.sleep(0.05)
            statuses.append(visitor.get("/api/v1/things").status_code)
    assert set(statuses) == {200}, f"{statuses}\n{door.nginx.logs(tail=60).decode()}"
