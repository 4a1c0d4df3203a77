"""A replica told to stop loses no request: a real process, real sockets and a client that behaves as NGINX does."""

import asyncio
import contextlib
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

from tests.fixtures.ports import free_port

PROGRAM = Path(__file__).with_name("serving_program.py")
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def running(
    deadline: float = 20, idle: float = 5, together: float = 40, lifespan_end: float = 0
) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    port = free_port()
    arguments = map(str, (PROGRAM, port, deadline, idle, together, lifespan_end))
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments)
    try:
        async with asyncio.timeout(60):
            while not await is_served(port):  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.05)
        yield process, port
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def is_served(port: int) -> bool:
    """Whether a request is answered. A connection alone says little: the kernel takes it before the program is ready
    for a signal."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.write(b"GET /health/live HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    await close(writer)
    return answer.startswith(b"HTTP/1.1 200 ")


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def exchange(connection: Connection, method: str, path: str, body: bytes = b"") -> tuple[int, bool, bytes]:
    """Status, whether the connection may be used again, and the body (which must have a content-length)."""
    reader, writer = connection
    head = f"{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
    answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = next(int(line.split(":")[1]) for line in answer.split("\r\n") if line.startswith("content-length"))
    return int(answer.split()[1]), "connection: close" not in answer, await reader.readexactly(length)


class NginxLikeClient:
    """Keeps idle connections and prefers the most recently used; never repeats a request that was sent."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.idle: list[Connection] = []
        self.results: Counter[str] = Counter()

    async def request(self, method: str, body: bytes = b"") -> None:
        while self.idle and self.idle[-1][0].at_eof():  # NGINX drops a cached connection whose peer has closed it
            await close(self.idle.pop()[1])
        if self.idle:
            connection = self.idle.pop()
        else:
            try:
                connection = await asyncio.open_connection("127.0.0.1", self.port)
            except ConnectionRefusedError:
                self.results["refused"] += 1
                return
        try:
            status, reusable, answer = await exchange(connection, method, "/item", body)
        except (OSError, asyncio.IncompleteReadError) as error:
            self.results[f"lost {method}: {type(error).__name__}"] += 1
            await close(connection[1])
            return
        self.results["answered" if answer == b'{"bytes":%d}' % len(body) else f"status {status}"] += 1
        if reusable:
            self.idle.append(connection)
        else:
            await close(connection[1])


async def test_a_stop_under_load_loses_no_request() -> None:
    async with running() as (process, port):
        client = NginxLikeClient(port)
        stopped = asyncio.Event()

        async def hammer(number: int) -> None:
            while not stopped.is_set():
                await client.request("POST" if number % 2 else "GET", b"x" * (number * 500 if number % 2 else 0))
                await asyncio.sleep(0.004)

        hammers = [asyncio.create_task(hammer(number)) for number in range(12)]
        async with asyncio.timeout(30):
            while client.results["answered"] < 200:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        async with asyncio.timeout(25):
            assert await process.wait() == 0
        took = time.monotonic() - began
        await asyncio.sleep(0.2)
        stopped.set()
        await asyncio.gather(*hammers)
        for _, writer in client.idle:
            await close(writer)
    assert set(client.results) == {"answered", "refused"}, client.results
    assert took < 10, "connections in use are used up at once; the deadline is for idle ones"


async def test_what_waits_in_the_queue_when_the_door_closes_is_answered() -> None:
    """The last connection that was held is used up by a request that stops the event loop, and others queue up."""
    async with running() as (process, port):
        held = await asyncio.open_connection("127.0.0.1", port)
        await exchange(held, "GET", "/item")
        process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.4)
        blocking = asyncio.create_task(exchange(held, "GET", "/block"))
        await asyncio.sleep(0.3)
        queued = [await asyncio.open_connection("127.0.0.1", port) for _ in range(30)]
        early = [asyncio.create_task(exchange(each, "POST", "/item", b"abc")) for each in queued[:15]]
        assert (await blocking)[:2] == (200, False)
        # Connected before the door closed, but the request comes only now.
        late = [asyncio.create_task(exchange(each, "POST", "/item", b"abc")) for each in queued[15:]]
        answers = await asyncio.gather(*early, *late)
        assert set(answers) == {(200, False, b'{"bytes":3}')}
        async with asyncio.timeout(20):
            assert await process.wait() == 0
        for _, writer in (held, *queued):
            await close(writer)


async def test_open_connections_are_told_by_their_peer_and_streams_are_in_hand() -> None:
    async with running(deadline=1) as (process, port):
        idle = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
        await exchange(idle, "GET", "/item")
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
        writer.write(b"GET /stream HTTP/1.1\r\nHost: test\r\n\r\n")
        await reader.readuntil(b"begun\n")
        asking = await asyncio.open_connection("127.0.0.1", port)
        told = json.loads((await exchange(asking, "GET", "/health/load"))[2])
        assert told == {"connections": {"127.0.0.2": 2, "127.0.0.1": 1}, "requests": 1, "jobs": 0, "draining": False}
        await close(writer)
        await close(idle[1])
        async with asyncio.timeout(15):
            while told["connections"] != {"127.0.0.1": 1} or told["requests"]:
                told = json.loads((await exchange(asking, "GET", "/health/load"))[2])
        await close(asking[1])
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            assert await process.wait() == 0


async def test_an_idle_connection_is_still_served_and_then_closed() -> None:
    async with running() as (process, port):
        connection = await asyncio.open_connection("127.0.0.1", port)
        assert (await exchange(connection, "GET", "/item"))[:2] == (200, True)
        process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.5)
        newcomer = await asyncio.open_connection("127.0.0.1", port)
        assert (await exchange(newcomer, "GET", "/health/ready"))[:2] == (503, False)
        assert (await exchange(connection, "POST", "/item", b"abc")) == (200, False, b'{"bytes":3}')
        async with asyncio.timeout(15):
            assert await process.wait() == 0
        await close(connection[1])
        await close(newcomer[1])


async def test_idle_connections_do_not_hold_the_replica_beyond_their_time() -> None:
    async with running(idle=1) as (process, port):
        connection = await asyncio.open_connection("127.0.0.1", port)
        await exchange(connection, "GET", "/item")
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(15):
            assert await process.wait() == 0
        await close(connection[1])


async def test_a_lifespan_that_does_not_end_is_given_up_in_time() -> None:
    async with running(idle=0.5, together=4, lifespan_end=60) as (process, _):
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            assert await process.wait() == 0


async def test_requests_in_progress_finish_and_streams_end() -> None:
    async with running(deadline=1) as (process, port):
        slow = await asyncio.open_connection("127.0.0.1", port)
        answer = asyncio.create_task(exchange(slow, "POST", "/slow"))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /stream HTTP/1.1\r\nHost: test\r\n\r\n")
        await reader.readuntil(b"begun\n")
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(15):
            assert b"ended\n" in await reader.readuntil(b"0\r\n\r\n")
            assert (await answer)[0] == 200
            assert await process.wait() == 0
        await close(writer)
        await close(slow[1])
