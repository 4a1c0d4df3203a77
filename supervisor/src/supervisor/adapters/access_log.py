"""What NGINX saw of each replica: counts every attempt that it reports. Read by nginx_upstreams.py for the snapshot.

NGINX sends one UDP datagram a request (nginx/conf.d/20-log.conf, format `attempts`) to the address that
nginx_upstreams.py writes down for it. UDP, because NGINX must never wait for us and never complain about us: what comes
while we are away is lost, and all counts begin again with the supervisor anyway.

    <190>Nov 21 13:00:00 a: backend|172.20.0.5:8000, 172.20.0.6:8000|502, 200|-, 0.010|+|GET|200

An attempt is an error when its status is 5xx: the application's, or NGINX's own for what broke off, was refused or
took too long. A client that went away (499) says nothing of the replica. Latency is the time to the first byte.
"""

from __future__ import annotations

import asyncio
import re
import socket
from bisect import bisect_left
from collections.abc import Callable, Mapping

from supervisor.domain.snapshot import LATENCY_BUCKETS, TrafficView
from supervisor.ports import Unavailable

PORT = 8514
RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024  # the kernel grants what net.core.rmem_max allows
LONGEST_LINE_BYTES = 2048
LINES_AT_A_TIME = 500  # then the rest of the process has its turn
SLOT_SECONDS = 5.0
SLOTS = 12  # together the last minute
FORGET_SECONDS = 3600.0

# Retries within one location are separated by commas, a second location (error_page) by a colon.
_ATTEMPTS = re.compile(r", | : ")
_BUCKETS = len(LATENCY_BUCKETS) + 1


class _Slot:
    """What came in one stretch of SLOT_SECONDS."""

    __slots__ = ("counts", "number", "requests")

    def __init__(self, number: int) -> None:
        self.number = number
        self.requests = 0
        self.counts = [0] * _BUCKETS


class _Seen:
    """Counts of one address."""

    __slots__ = ("counts", "errors", "first_at", "last_at", "requests", "slots")

    def __init__(self, at: float) -> None:
        self.first_at = self.last_at = at
        self.requests = self.errors = 0
        self.counts = [0] * _BUCKETS
        self.slots = [_Slot(-1) for _ in range(SLOTS)]

    def slot(self, at: float) -> _Slot:
        number = int(at / SLOT_SECONDS)
        slot = self.slots[number % SLOTS]
        if slot.number != number:
            slot = self.slots[number % SLOTS] = _Slot(number)
        return slot

    def view(self, at: float) -> TrafficView:
        oldest = int(at / SLOT_SECONDS) - SLOTS + 1
        recent = [slot for slot in self.slots if slot.number >= oldest]
        covered = max(SLOT_SECONDS, at - max(self.first_at, oldest * SLOT_SECONDS))
        return TrafficView(
            at=at,
            requests=self.requests,
            errors=self.errors,
            latency_counts=tuple(self.counts),
            p95_seconds=quantile([sum(column) for column in zip(*(slot.counts for slot in recent), strict=True)], 0.95),
            requests_per_second=sum(slot.requests for slot in recent) / covered,
        )


class AccessLog:
    """Open it inside the event loop; `traffic` may be asked at any time."""

    def __init__(self, clock: Callable[[], float], *, host: str = "0.0.0.0", port: int = PORT) -> None:  # noqa: S104
        self._clock = clock
        self._address = (host, port)
        self._socket: socket.socket | None = None
        self._senders: frozenset[str] = frozenset()
        self._seen: dict[str, _Seen] = {}

    @property
    def port(self) -> int:
        """The port that NGINX sends to."""
        return int(self._socket.getsockname()[1]) if self._socket else self._address[1]

    def open(self) -> None:
        """Listen. Raises Unavailable when the port is taken."""
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            receiver.setblocking(False)
            receiver.bind(self._address)
        except OSError as error:
            receiver.close()
            raise Unavailable(f"NGINX's reports cannot be received on UDP port {self._address[1]}: {error}") from error
        self._socket = receiver
        asyncio.get_running_loop().add_reader(receiver, self._receive)

    def close(self) -> None:
        if self._socket:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def trust(self, senders: frozenset[str]) -> None:
        """Believe only these addresses: NGINX's. Others on its networks may not make a replica look bad."""
        self._senders = senders

    def forget(self, address: str) -> None:
        """An address got another replica: it begins at zero."""
        self._seen.pop(address, None)

    def traffic(self, at: float) -> Mapping[str, TrafficView]:
        """What was seen of each address (ip:port); those that nothing was heard of for an hour are forgotten."""
        for address in [address for address, seen in self._seen.items() if at - seen.last_at > FORGET_SECONDS]:
            del self._seen[address]
        return {address: seen.view(at) for address, seen in self._seen.items()}

    def _receive(self) -> None:
        if self._socket is None:
            return
        at, senders, receive, count = self._clock(), self._senders, self._socket.recvfrom, self.count
        for _ in range(LINES_AT_A_TIME):
            try:
                line, sender = receive(LONGEST_LINE_BYTES)
            except OSError:  # nothing more is there; what else may be wrong shows in the next call
                return
            if sender[0] in senders:
                count(line, at)

    def count(self, line: bytes, at: float) -> None:
        """Take one report in; one that cannot be read is passed over."""
        try:
            _, addresses, statuses, times, pace, _, status = line.decode("ascii").split("|")
            is_timed = pace == "+"
            if ", " not in addresses and " : " not in addresses:
                self._attempt(addresses, statuses, times if is_timed else "-", status, at)
                return
            attempts = zip(_ATTEMPTS.split(addresses), _ATTEMPTS.split(statuses), _ATTEMPTS.split(times), strict=True)
            for address, answered, seconds in attempts:
                self._attempt(address, answered, seconds if is_timed else "-", status, at)
        except ValueError:
            return

    def _attempt(self, address: str, answered: str, seconds: str, status: str, at: float) -> None:
        if ":" not in address:
            return  # the name of the upstream: no replica was left to ask
        seen = self._seen.get(address)
        if seen is None:
            seen = self._seen[address] = _Seen(at)
        seen.last_at = at
        slot = seen.slot(at)
        seen.requests += 1
        slot.requests += 1
        if answered.startswith("5") or (answered == "-" and status.startswith("5")):
            seen.errors += 1
        if seconds != "-":
            bucket = bisect_left(LATENCY_BUCKETS, float(seconds))
            seen.counts[bucket] += 1
            slot.counts[bucket] += 1


def quantile(counts: list[int], share: float) -> float | None:
    """The value below which `share` of the counts of LATENCY_BUCKETS lie, in seconds; None without any.

    Evenly spread within a bucket; what is slower than the last bound counts as that.
    """
    rank = share * sum(counts)
    if rank == 0:
        return None
    below, lower = 0, 0.0
    for count, upper in zip(counts, LATENCY_BUCKETS, strict=False):
        if below + count >= rank:
            return lower + (upper - lower) * (rank - below) / count
        below, lower = below + count, upper
    return LATENCY_BUCKETS[-1]
