"""NGINX: who gets in, how, and with which headers."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.e2e.stack import Stack

HEADERS = {
    "strict-transport-security": "max-age=63072000",
    "content-security-policy": "default-src 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "strict-origin-when-cross-origin",
}


@pytest.mark.parametrize("path", ["/", "/api/v1/conversions", "/api/v1/nothing", "/no-such-page"])
def test_every_answer_carries_the_security_headers_once(visitor: httpx.Client, path: str) -> None:
    answer = visitor.get(path)
    for name, value in HEADERS.items():
        assert [value in line for line in answer.headers.get_list(name)] == [True], name
    assert "nginx/" not in answer.headers.get("server", "")


def test_plain_http_is_sent_to_https(stack: Stack) -> None:
    port = stack.variable("HTTP_PORT")
    answer = httpx.get(f"http://localhost:{port}/conversions?x=1")
    assert answer.status_code == 308
    assert answer.headers["location"] == f"{stack.base_url}/conversions?x=1"


def test_names_that_are_not_ours_get_no_certificate(stack: Stack) -> None:
    address = urlsplit(stack.base_url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as plain, pytest.raises(ssl.SSLError):
        stack.tls().wrap_socket(plain, server_hostname="somebody-else.example")


@pytest.mark.parametrize(("version", "works"), [("TLSv1_1", False), ("TLSv1_2", True), ("TLSv1_3", True)])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_only_modern_tls_is_spoken(stack: Stack, version: str, works: bool) -> None:
    address = urlsplit(stack.base_url)
    context = stack.tls()
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    with socket.create_connection((address.hostname, address.port), timeout=10) as plain:
        try:
            with context.wrap_socket(plain, server_hostname="localhost") as connection:
                assert works
                assert connection.version() == version.replace("_", ".")
        except ssl.SSLError:
            assert not works


def test_http_2_is_offered(stack: Stack) -> None:
    address = urlsplit(stack.base_url)
    context = stack.tls()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection((address.hostname, address.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        assert connection.selected_alpn_protocol() == "h2"


def test_health_is_public_but_its_details_are_not(visitor: httpx.Client) -> None:
    for path in ("/health", "/health/live", "/health/ready"):
        assert visitor.get(path).status_code == 200, path
    assert visitor.get("/health/detailed").status_code == 404
    assert visitor.post("/embeddings", json={"texts": ["x"]}).status_code in (404, 405)


@pytest.mark.parametrize("service", ["backend", "ai-engine", "frontend"])
def test_inside_every_service_tells_its_health_in_detail(stack: Stack, service: str) -> None:
    script = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8000/health/detailed').read().decode())"
    answer = stack.compose("exec", "-T", service, "/usr/bin/python3", "-c", script)
    assert '"checks"' in answer
    assert '"ok"' in answer


def test_a_request_id_is_kept_when_well_formed_and_made_when_not(visitor: httpx.Client) -> None:
    kept = visitor.get("/api/v1/conversions", headers={"X-Request-ID": "mine-0123456789"})
    assert kept.headers["x-request-id"] == "mine-0123456789"
    made = visitor.get("/api/v1/conversions", headers={"X-Request-ID": "bad id <script>"})
    assert re.fullmatch(r"[0-9a-f-]{32,36}", made.headers["x-request-id"])


def test_a_forged_address_is_not_believed(stack: Stack, visitor: httpx.Client) -> None:
    visitor.get("/api/v1/conversions", headers={"X-Forwarded-For": "6.6.6.6", "X-Request-ID": "forged-address-1"})
    log = stack.compose("logs", "--no-log-prefix", "--tail", "200", "nginx").splitlines()
    lines = [line for line in log if "forged-address-1" in line]
    assert lines
    assert all("6.6.6.6" not in line for line in lines)


def test_text_is_compressed_and_streams_are_not(visitor: httpx.Client, running: str) -> None:
    assert visitor.get("/", headers={"Accept-Encoding": "gzip"}).headers.get("content-encoding") == "gzip"
    events = f"/api/v1/conversions/{running}/events"
    with visitor.stream("GET", events, headers={"Accept-Encoding": "gzip"}) as answer:
        assert "content-encoding" not in answer.headers


def test_the_api_describes_itself_without_asking_anybody(visitor: httpx.Client) -> None:
    paths: dict[str, Any] = visitor.get("/api/openapi.json").raise_for_status().json()["paths"]
    assert {"/api/v1/conversions", "/api/v1/conversions/{id}", "/api/v1/concepts/{java_id}"} <= {
        re.sub(r"\{conversion_id\}", "{id}", path) for path in paths
    }
    page = visitor.get("/api/docs").raise_for_status().text
    assert not re.search(r"""(?:src|href)=["']https?://""", page)


def test_nginx_accepts_its_own_configuration(stack: Stack) -> None:
    done = subprocess.run(
        ["docker", "exec", stack.containers("nginx")[0], "nginx", "-t"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "warn" not in done.stderr
