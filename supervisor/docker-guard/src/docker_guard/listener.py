"""One socket of the guard: has each request judged, sees to its answer and to the audit. Opened by serve.py."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from pathlib import Path

import h11

from docker_guard.audit import Audit, Entry, Verdict
from docker_guard.client import OK, Client, Gone
from docker_guard.daemon import Daemon, DaemonAway
from docker_guard.gate import Gate, OwnAnswer
from docker_guard.refusal import Refusal
from docker_guard.rules import Call, Listener, find_call
from docker_guard.target import parse_target
from docker_guard.wire import MAX_HEAD_BYTES, Request, read_request

MAX_CONNECTIONS = 64
DRAIN_SECONDS = 8.0  # for the changes in hand when the guard is stopped; Docker's own patience is 10
BAD_GATEWAY = 502
UNAVAILABLE = 503


@dataclass(slots=True)
class Asked:
    """What the audit is told of: a request, as far as it was understood, and when it began (steady seconds)."""

    started: float
    request: Request | None = None
    call: Call | None = None

    @property
    def is_mutation(self) -> bool:
        return self.call is not None and self.call.is_mutation


class Door:
    """A listener on a Unix socket."""

    def __init__(self, listener: Listener, path: Path, gate: Gate, daemon: Daemon, audit: Audit) -> None:
        self._listener = listener
        self._path = path
        self._gate = gate
        self._daemon = daemon
        self._audit = audit
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._changing: set[asyncio.Task[None]] = set()  # those of them with a change in hand

    async def open(self) -> None:
        self._path.unlink(missing_ok=True)  # of a guard that was killed
        self._server = await asyncio.start_unix_server(self._connected, self._path, limit=MAX_HEAD_BYTES)

    async def close(self) -> None:
        """No new connections; changes in hand are finished, everything else ends."""
        if self._server is None:
            return
        self._server.close()
        self._path.unlink(missing_ok=True)
        for connection in self._connections - self._changing:
            connection.cancel()
        if self._connections:
            _, late = await asyncio.wait(self._connections, timeout=DRAIN_SECONDS)
            for connection in late:
                connection.cancel()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            return
        self._connections.add(task)
        try:
            await self._converse(reader, writer, task)
        except (Gone, OSError, asyncio.CancelledError):
            pass  # the client has left, or the guard stops
        finally:
            self._connections.discard(task)
            writer.close()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, task: asyncio.Task[None]
    ) -> None:
        """Requests one after the other, until one side has enough."""
        stranger = Client(reader, writer, h11.Connection(h11.SERVER))
        if len(self._connections) > MAX_CONNECTIONS:
            await stranger.tell(UNAVAILABLE, "docker-guard: too many connections", is_last=True)
            return
        while self._server is not None and self._server.is_serving():
            started = time.monotonic()
            try:
                request = await read_request(reader)
            except Refusal as refusal:
                self._record(Asked(started), Verdict.REFUSED, refusal.status, refusal.reason)
                await stranger.tell(refusal.status, refusal.message, is_last=True)
                return
            if request is None:
                return
            client = Client(reader, writer, request.exchange)
            try:
                await self._answer(client, request, task)
            finally:
                self._changing.discard(task)
            if request.exchange.our_state is not h11.DONE:
                return

    async def _answer(self, client: Client, request: Request, task: asyncio.Task[None]) -> None:
        """Judge, ask Docker, pass on, and write it down whatever happens."""
        asked = Asked(time.monotonic(), request)
        try:
            asked.call = call = find_call(request.method, parse_target(request.target), self._listener)
            if call.is_mutation:
                self._changing.add(task)
            else:
                self._audit.count_read(call.kind)
            async with self._gate.turn(call):
                await self._carry_out(client, request, call)
        except Refusal as refusal:
            if not refusal.is_absence or asked.is_mutation:
                self._record(asked, Verdict.REFUSED, refusal.status, refusal.reason)
            await client.tell(refusal.status, refusal.message)
        except DaemonAway as away:
            if asked.is_mutation:
                self._record(asked, Verdict.FAILED, BAD_GATEWAY, str(away))
            if client.status:
                raise Gone from away  # its answer breaks off, as Docker's did
            await client.tell(BAD_GATEWAY, f"docker-guard: {away}")
        except (Gone, asyncio.CancelledError):
            if asked.is_mutation:
                self._record(asked, Verdict.FAILED, client.status, "the answer reached nobody")
            raise
        else:
            if call.is_mutation:
                self._record(asked, Verdict.ALLOWED, client.status)

    async def _carry_out(self, client: Client, request: Request, call: Call) -> None:
        judged = await self._gate.judge(call, request.body, self._listener)
        if isinstance(judged, OwnAnswer):
            await client.whole(OK, json.dumps(judged.content).encode())
            return
        async with self._daemon.ask(judged.forward) as answer:
            if judged.forward.is_endless:
                await client.pass_on_until_either_leaves(answer)
            else:
                await client.pass_on(answer, judged.change)

    def _record(self, asked: Asked, verdict: Verdict, status: int, reason: str = "") -> None:
        request, call = asked.request, asked.call
        self._audit.add(
            Entry(
                listener=self._listener,
                kind=call.kind if call else "",
                subject=self._gate.subject_of(call) if call else "",
                method=request.method if request else "",
                path=request.target if request else "",
                verdict=verdict,
                reason=reason,
                cause=request.headers.get("x-cause", "") if request else "",
                status=status,
                duration_seconds=round(time.monotonic() - asked.started, 4),
            )
        )
