"""Probing replicas over real sockets: silence is told apart from a refusal and from a bad answer."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from supervisor.adapters.http_probe import HttpProbe

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
def probe() -> HttpProbe:
    return HttpProbe(lambda: 42.0)


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """The address of a server with this behaviour."""
    async with await asyncio.start_server(handler, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


def answering(answer: bytes, seen: list[bytes] | None = None) -> Handler:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        if seen is not None:
            seen.append(request)
        writer.write(answer)
        writer.close()

    return handle


def response(status: str, body: bytes) -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


async def test_a_200_is_ready(probe: HttpProbe) -> None:
    seen: list[bytes] = []
    async with serving(answering(response("200 OK", b'{"status":"ok"}'), seen)) as address:
        answer = await probe.ready(address, "/health/ready", 1)
    assert (answer.is_ready, answer.is_timeout, answer.detail) == (True, False, "")
    assert 0 < answer.latency_seconds < 1
    assert seen[0].startswith(b"GET /health/ready HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (response("503 Service Unavailable", b'{"status":\n "draining"}'), '503: {"status": "draining"}'),
        (response("500 Internal Server Error", b"x" * 5000), "500: " + "x" * 200),
        (b"HTTP/1.0 404 Not Found\r\n\r\nnothing here", "404: nothing here"),
        (response("500 Oops", b"a\x1b]0;title\x07b\xc2\x9b1m\xe2\x80\xaec"), "500: a ]0;title b 1m c"),
        (b"", "broke off"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "broke off"),
        (b"SSH-2.0-OpenSSH_9.9\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 odd\r\n\r\n", "not HTTP"),
        (b"a" * 200_000, "not HTTP"),
    ],
)
async def test_everything_else_is_not_ready_and_no_timeout(probe: HttpProbe, answer: bytes, detail: str) -> None:
    async with serving(answering(answer)) as address:
        got = await probe.ready(address, "/health/ready", 1)
    assert (got.is_ready, got.is_timeout) == (False, False)
    assert detail in got.detail


async def test_a_refusal_is_not_a_timeout(probe: HttpProbe) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        answer = await probe.ready(f"127.0.0.1:{unused.getsockname()[1]}", "/health/ready", 1)
    assert (answer.is_ready, answer.is_timeout, answer.detail) == (False, False, "the connection was refused")


async def test_a_hung_replica_is_a_timeout_although_its_kernel_still_accepts(probe: HttpProbe) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hung:
        answer = await probe.ready(f"127.0.0.1:{hung.getsockname()[1]}", "/health/ready", 0.2)
    assert (answer.is_ready, answer.is_timeout, answer.detail) == (False, True, "no answer within 0.2 s")
    assert 0.2 <= answer.latency_seconds < 1


async def test_load_counts_the_balancers_connections(probe: HttpProbe) -> None:
    told = {"connections": {"10.0.0.2": 3, "10.0.0.3": 2, "10.0.0.9": 7}, "requests": 4, "jobs": 1, "draining": True}
    async with serving(answering(response("200 OK", json.dumps(told).encode()))) as address:
        load = await probe.load(address, frozenset({"10.0.0.2", "10.0.0.3", "10.0.0.4"}))
    assert load is not None
    assert (load.at, load.connections, load.requests, load.jobs) == (42.0, 5, 4, 1)


@pytest.mark.parametrize(
    "answer",
    [
        response("404 Not Found", b"{}"),
        response("200 OK", b"<html>"),
        response("200 OK", b"[]"),
        response("200 OK", b'{"connections": [], "requests": 0, "jobs": 0}'),
        response("200 OK", b'{"connections": {}, "requests": null, "jobs": 0}'),
        response("200 OK", b'{"connections": {}, "requests": 1e999, "jobs": 0}'),
        response("200 OK", b'{"connections": {}, "requests": 0, "jobs": -1}'),
        response("200 OK", b'{"connections": {"10.0.0.2": -5}, "requests": 0, "jobs": 0}'),
        response("200 OK", b'{"connections": {}, "requests": 0, "jobs": ' + b"9" * 4000 + b"}"),
        response("200 OK", b"[" * 60_000),
        b"",
    ],
)
async def test_a_replica_that_does_not_say_is_none_and_not_zero(probe: HttpProbe, answer: bytes) -> None:
    async with serving(answering(answer)) as address:
        assert await probe.load(address, frozenset({"10.0.0.2"})) is None


async def test_a_hundred_at_once_are_all_answered(probe: HttpProbe) -> None:
    async with serving(answering(response("200 OK", b"{}"))) as address:
        answers = await asyncio.gather(*(probe.ready(address, "/health/ready", 2) for _ in range(100)))
    assert all(answer.is_ready for answer in answers)
