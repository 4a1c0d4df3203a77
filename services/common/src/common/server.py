"""Runs a service's application and takes it out of service without losing a request.

Called by each service's `main`. NGINX stands in front with keep-alive connections, learns of a leaving replica only
when it is gone, and never sends a POST twice; so on SIGTERM the server goes through three steps:

    serving --SIGTERM--> using up ------> closing the door ------> finishing --> gone
                         still accepts;   new connections get     requests in
                         every response   no answer, those in     progress end
                         says "close"     the queue are accepted

- using up: the connections that NGINX held when the signal came disappear as each carries its next request. Ends when
  they are gone, when nothing has been asked for `idle_seconds`, or after `deadline_seconds`.
- closing the door: closing a listening socket resets the connections that the kernel has completed but we have not
  accepted, with requests in them. So a socket filter first drops new SYN packets (the peer repeats them a second later
  and is then refused, which lets NGINX ask another replica), the queue is emptied, and only then the socket is closed.
- finishing: connections that have not yet brought their request, and requests in progress, get `finish_seconds`. The
  process stays for REFUSING_SECONDS at least: while it is there, a new connection is refused at once and NGINX marks
  the replica down for longer than its DNS entry lives. Gone at once, its address would leave connections hanging.

SIGINT (Ctrl-C while developing) leaves at once.
"""

from __future__ import annotations

import asyncio
import ctypes
import select
import signal
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
import uvicorn
from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.drain import Drain, drain_of
from common.load import load_of
from common.settings import ServiceSettings

KEEP_ALIVE_SECONDS = 75  # longer than NGINX's 55, so that it is always NGINX who drops an idle connection
SO_ATTACH_FILTER = 26  # asm-generic/socket.h; absent from Python's socket module
BACKLOG = 2048
POLL_SECONDS = 0.05
# A connection completed just before the door closed brings its request within this time.
FIRST_REQUEST_SECONDS = 2.0
REFUSING_SECONDS = 1.5

log = structlog.stdlib.get_logger("server")


@dataclass(frozen=True, slots=True)
class DrainTimes:
    """How long each step of leaving may take, and all of it together with the end of the application's lifespan.

    The container's stop grace period must exceed `all_seconds`, after which what is still open is given up.
    """

    deadline_seconds: float = 15.0
    idle_seconds: float = 5.0
    finish_seconds: float = 24.0
    all_seconds: float = 50.0


class CloseWhileDraining:
    """Adds `Connection: close` to every response that starts while the replica is leaving."""

    def __init__(self, app: ASGIApp, drain: Drain) -> None:
        self.app = app
        self.drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_closing(message: Message) -> None:
            if message["type"] == "http.response.start" and self.drain.is_draining:
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self.app(scope, receive, send_closing if scope["type"] == "http" else send)


class DrainingServer(uvicorn.Server):
    """uvicorn with the three steps above between the signal and its own shutdown."""

    def __init__(self, config: uvicorn.Config, drain: Drain, times: DrainTimes) -> None:
        super().__init__(config)
        self._drain = drain
        self._times = times

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            async with asyncio.timeout(self._times.all_seconds):
                await self._leave(sockets)
        except TimeoutError:
            log.warning("left with something unfinished", after_seconds=self._times.all_seconds)
        finally:
            # uvicorn would raise it again; having left, also late, is exit code 0.
            self._captured_signals[:] = [sent for sent in self._captured_signals if sent != signal.SIGTERM]

    async def _leave(self, sockets: list[socket.socket] | None) -> None:
        if signal.SIGTERM in self._captured_signals and not self.force_exit:
            log.info("draining", connections=len(self.server_state.connections))
            self._drain.begin()
            await self._use_up_connections()
            await self._close_the_door(sockets or [])
            await self._until(lambda: False, REFUSING_SECONDS)
            await self._finish_requests()  # last: what is idle now is closed in the same turn of the event loop
            log.info("drained", connections=len(self.server_state.connections))
        await super().shutdown(sockets)

    async def _use_up_connections(self) -> None:
        held = set(self.server_state.connections)
        served = self.server_state.total_requests
        quiet_since = time.monotonic()

        def is_over() -> bool:
            nonlocal served, quiet_since
            held.intersection_update(self.server_state.connections)
            if any(map(_is_busy, held)) or self.server_state.total_requests != served:
                served, quiet_since = self.server_state.total_requests, time.monotonic()
            return not held or time.monotonic() - quiet_since >= self._times.idle_seconds

        await self._until(is_over, self._times.deadline_seconds)

    async def _close_the_door(self, sockets: list[socket.socket]) -> None:
        for listener in sockets:
            drop_new_connections(listener)
        await asyncio.sleep(POLL_SECONDS)  # handshakes that were under way complete
        await self._until(lambda: not any(map(_is_readable, sockets)), timeout_seconds=1.0)
        for server in self.servers:
            server.close()

    async def _finish_requests(self) -> None:
        connections = self.server_state.connections
        await self._until(lambda: all(map(_has_had_a_request, connections)), FIRST_REQUEST_SECONDS)
        await self._until(lambda: not any(map(_is_busy, connections)), self._times.finish_seconds)

    async def _until(self, is_over: Callable[[], bool], timeout_seconds: float) -> None:
        deadline = time.monotonic() + timeout_seconds
        while not is_over() and time.monotonic() < deadline and not self.force_exit:
            await self.on_tick(0)  # keeps the Date header right
            await asyncio.sleep(POLL_SECONDS)


def _is_busy(connection: Any) -> bool:
    """Whether a request is being served on a connection of uvicorn's (an upgraded one counts as busy), or waits unread.

    On a starved machine requests wait in the kernel's buffer; closing the connection then would reset it with them.
    """
    if not hasattr(connection, "cycle"):
        return True
    is_served = connection.cycle is not None and not connection.cycle.response_complete
    return is_served or _is_readable(connection.transport.get_extra_info("socket"))


def _has_had_a_request(connection: Any) -> bool:
    return not hasattr(connection, "cycle") or connection.cycle is not None


def _is_readable(waiting: Any) -> bool:
    """Whether a listening socket has a connection to accept, or a connected one has bytes (or its end) to read."""
    if waiting is None or waiting.fileno() < 0:
        return False
    poll = select.poll()
    poll.register(waiting.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def drop_new_connections(listener: socket.socket) -> bool:
    """Let the kernel drop SYN packets for a listening TCP socket; everything else passes. False where it cannot."""
    # Classic BPF over the TCP header: A = flags; if A & SYN: drop, else: pass.
    program = b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in ((0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
    )
    code = ctypes.create_string_buffer(program, len(program))
    try:
        listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HL", 4, ctypes.addressof(code)))
    except OSError as error:
        log.warning("cannot filter new connections while leaving", reason=str(error))
        return False
    return True


def bind(host: str, port: int) -> socket.socket:
    """A listening TCP socket; port 0 picks a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    listener.setblocking(False)
    return listener


def serve(app: FastAPI, *, host: str, port: int, settings: ServiceSettings, times: DrainTimes | None = None) -> None:
    """Serve until told to stop, then leave as described above. Blocks; call from the main thread."""
    drain = drain_of(app)
    config = uvicorn.Config(
        CloseWhileDraining(app, drain),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=True,
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=2,  # requests in progress have had their time before
        backlog=BACKLOG,
    )
    listener = bind(host, port)
    log.info("listening", host=host, port=listener.getsockname()[1])
    server = DrainingServer(config, drain, times or DrainTimes())
    load_of(app).connections = lambda: server.server_state.connections
    server.run(sockets=[listener])
