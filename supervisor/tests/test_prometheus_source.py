"""How Prometheus is asked, over real sockets. What its answers mean is tested against a real one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

import pytest

from supervisor.adapters.prometheus_source import PrometheusSource
from supervisor.ports import Unavailable

SEVEN = {"status": "success", "data": {"resultType": "scalar", "result": [1, "7"]}}


def clock() -> float:
    return 42.0


class Prometheus:
    """Answers all with `answer`, a piece at a time."""

    def __init__(self, answer: bytes, pause_seconds: float = 0.0) -> None:
        self.answer = answer
        self.pause_seconds = pause_seconds
        self.head = ""
        self.form: dict[str, list[str]] = {}

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lengths = [line.partition(":")[2] for line in self.head.split("\r\n") if line.startswith("Content-Length")]
        self.form = parse_qs((await reader.readexactly(int(lengths[0]))).decode()) if lengths else {}
        pieces = [bytes([byte]) for byte in self.answer] if self.pause_seconds else [self.answer]
        for piece in pieces:
            if writer.is_closing():
                break
            writer.write(piece)
            await asyncio.sleep(self.pause_seconds)
        writer.close()


@asynccontextmanager
async def serving(prometheus: Prometheus) -> AsyncIterator[str]:
    async with await asyncio.start_server(prometheus.handle, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


def plain(content: object, status: str = "200 OK") -> bytes:
    body = json.dumps(content).encode()
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def in_chunks(content: object, size: int = 1000) -> bytes:
    body = json.dumps(content).encode()
    chunks = [body[at : at + size] for at in range(0, len(body), size)]
    framed = b"".join(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" for chunk in [*chunks, b""])
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + framed


async def test_a_query_is_a_form() -> None:
    prometheus = Prometheus(plain(SEVEN))
    async with serving(prometheus) as address:
        reading = await PrometheusSource(f"http://{address}", clock).query('sum(a{b="c&d"})')
    assert (reading.value, reading.at, reading.problem) == (7.0, 42.0, "")
    assert prometheus.head.startswith(f"POST /api/v1/query HTTP/1.1\r\nHost: {address}\r\n")
    assert prometheus.form["query"] == ['sum(a{b="c&d"})']
    assert prometheus.form["lookback_delta"] == ["15s"]


async def test_the_address_may_hold_an_account_and_a_path() -> None:
    prometheus = Prometheus(plain({"status": "success", "data": {"alerts": []}}))
    async with serving(prometheus) as address:
        assert await PrometheusSource(f"http://me:p%40ss@{address}/behind/", clock).alerts() == ()
    assert prometheus.head.startswith(f"GET /behind/api/v1/alerts HTTP/1.1\r\nHost: {address}\r\n")
    assert "\r\nAuthorization: Basic bWU6cEBzcw==\r\n" in prometheus.head  # me:p@ss


async def test_a_long_answer_comes_in_chunks() -> None:
    points = [[when, "1.5"] for when in range(20_000)]
    content = {"status": "success", "data": {"resultType": "matrix", "result": [{"values": points}]}}
    now = datetime.now(UTC)
    async with serving(Prometheus(in_chunks(content))) as address:
        source = PrometheusSource(f"http://{address}", clock)
        series = await source.query_range("a", now - timedelta(hours=6), now, 1)
    assert len(series) == 20_000
    assert series[-1] == (19_999.0, 1.5)


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"", "Prometheus cannot be reached: the connection broke off before the answer was there"),
        (b"SSH-2.0\r\n\r\n", "Prometheus cannot be reached: the answer is not HTTP"),
        (in_chunks(SEVEN)[:-20], "Prometheus cannot be reached: the connection broke off before the answer was there"),
        (plain("soon", "200 OK")[:-1] + b"x", "Prometheus' answer is not understood."),
        (plain({"status": "error"}, "503 Service Unavailable"), "Prometheus answers 503: "),
    ],
)
async def test_what_is_no_answer_is_told(answer: bytes, problem: str) -> None:
    async with serving(Prometheus(answer)) as address:
        reading = await PrometheusSource(f"http://{address}", clock).query("a")
    assert (reading.value, reading.problem) == (None, problem)


async def test_an_answer_that_drips_is_not_waited_for() -> None:
    async with serving(Prometheus(plain(SEVEN), pause_seconds=0.1)) as address:
        source = PrometheusSource(f"http://{address}", clock)
        with pytest.raises(Unavailable, match="did not answer within"):
            await asyncio.wait_for(source._ask("alerts", timeout_seconds=0.2), 2)


def test_an_address_that_is_none_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match=r"[Pp]ort"):
        PrometheusSource("http://prometheus:http", clock)
