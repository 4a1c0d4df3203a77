"""Asks replicas how they are: /health/ready, and /health/load for what they have in hand. Called by loop/observe.py.

Raw sockets rather than a client library: a hundred replicas are asked every two seconds, each time on a connection of
its own, so that the accepting of connections is probed too, and the answers are a line long.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from supervisor.domain.snapshot import LoadView
from supervisor.ports import ProbeAnswer

LOAD_PATH = "/health/load"
LOAD_SECONDS = 1.0
LONGEST_ANSWER_BYTES = 64 * 1024
SHOWN_CHARACTERS = 200
LARGEST_COUNT = 1_000_000  # of connections, requests or jobs: whoever has more in hand is not telling the truth


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes


class _OddAnswerError(Exception):
    """What came is not HTTP, or too long, or broke off."""


class HttpProbe:
    """Implements ports.HealthProbe. Addresses are `ip:port`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock

    async def ready(self, address: str, path: str, timeout_seconds: float) -> ProbeAnswer:
        """200 is ready; everything else is not, and `detail` says what it was. Only silence is a timeout."""
        began = time.perf_counter()
        is_ready = is_timeout = is_draining = False
        try:
            answer = await _get(address, path, timeout_seconds)
            is_ready = answer.status == 200
            is_draining = not is_ready and _is_draining(answer.body)
            detail = "" if is_ready else f"{answer.status}: {_shown(answer.body)}"
        except TimeoutError:
            is_timeout, detail = True, f"no answer within {timeout_seconds:g} s"
        except ConnectionRefusedError:
            detail = "the connection was refused"
        except OSError as error:
            detail = f"no connection: {error.strerror or error}"
        except _OddAnswerError as error:
            detail = str(error)
        latency = time.perf_counter() - began
        return ProbeAnswer(
            is_ready=is_ready,
            latency_seconds=latency,
            is_timeout=is_timeout,
            is_draining=is_draining,
            detail=detail,
        )

    async def load(self, address: str, balancer_addresses: frozenset[str]) -> LoadView | None:
        """What the replica says that it has in hand; None when it does not say, or says something else."""
        try:
            answer = await _get(address, LOAD_PATH, LOAD_SECONDS)
            if answer.status != 200:
                return None
            told = json.loads(answer.body)
            counts = (_count(count) for peer, count in told["connections"].items() if peer in balancer_addresses)
            return LoadView(
                at=self._clock(), connections=sum(counts), requests=_count(told["requests"]), jobs=_count(told["jobs"])
            )
        except (
            OSError,
            TimeoutError,
            _OddAnswerError,
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            RecursionError,
        ):
            return None


def _count(value: object) -> int:
    """Raises ValueError for what counts nothing: a replica that was taken over must not choose whom we let go, nor stop
    us with a number that nothing can add up."""
    if type(value) is not int or not 0 <= value <= LARGEST_COUNT:
        raise ValueError("not a count")
    return value


def _is_draining(body: bytes) -> bool:
    """Whether it says that it was asked to end (common.health answers so)."""
    try:
        return bool(json.loads(body)["status"] == "draining")
    except (ValueError, LookupError, TypeError, RecursionError):
        return False


async def _get(address: str, path: str, timeout_seconds: float) -> _Answer:
    """GET on a new connection. Raises TimeoutError, OSError, _OddAnswerError."""
    host, _, port = address.rpartition(":")
    writer = None
    try:
        async with asyncio.timeout(timeout_seconds):
            reader, writer = await asyncio.open_connection(host, int(port), limit=LONGEST_ANSWER_BYTES)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode())
            return await _read(reader)
    finally:
        if writer:
            writer.transport.abort()  # nothing more is wanted, and nobody waits for a hung one to say goodbye


async def _read(reader: asyncio.StreamReader) -> _Answer:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        version, status, *_ = head.split(maxsplit=2)
        if not version.startswith("HTTP/1."):
            raise _OddAnswerError("the answer is not HTTP")
        return _Answer(int(status), await _body(reader, head))
    except asyncio.IncompleteReadError as error:
        raise _OddAnswerError("the connection broke off before the answer was there") from error
    except (asyncio.LimitOverrunError, ValueError) as error:
        raise _OddAnswerError("the answer is not HTTP") from error


async def _body(reader: asyncio.StreamReader, head: str) -> bytes:
    """As long as Content-Length says, else to the end of the connection; at most LONGEST_ANSWER_BYTES."""
    for line in head.lower().split("\r\n"):
        if line.startswith("content-length:"):
            return await reader.readexactly(min(int(line.partition(":")[2]), LONGEST_ANSWER_BYTES))
    parts = bytearray()
    while len(parts) < LONGEST_ANSWER_BYTES and (part := await reader.read(LONGEST_ANSWER_BYTES)):
        parts += part
    return bytes(parts)


def _shown(body: bytes) -> str:
    """In one printable line: it is told in sentences, on terminals too."""
    text = body[: SHOWN_CHARACTERS * 4].decode("utf-8", "replace")
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())[:SHOWN_CHARACTERS]
