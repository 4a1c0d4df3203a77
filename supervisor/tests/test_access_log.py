"""What NGINX reports of its attempts becomes counts of each replica."""

import asyncio
import socket

import pytest

from supervisor.adapters.access_log import FORGET_SECONDS, AccessLog, quantile
from supervisor.domain.snapshot import LATENCY_BUCKETS
from supervisor.ports import Unavailable

A, B = "172.20.0.5:8000", "172.20.0.6:8000"


def line(
    addresses: str, statuses: str, times: str, *, pace: str = "+", method: str = "GET", status: str = "200"
) -> bytes:
    return f"<190>Nov 21 13:00:00 a: backend|{addresses}|{statuses}|{times}|{pace}|{method}|{status}".encode()


@pytest.fixture
def log() -> AccessLog:
    return AccessLog(lambda: 1000.0)


def test_an_answer_is_counted_with_its_latency(log: AccessLog) -> None:
    log.count(line(A, "200", "0.012"), 1000.0)
    view = log.traffic(1001.0)[A]
    assert (view.requests, view.errors, view.at) == (1, 0, 1001.0)
    assert view.latency_counts[LATENCY_BUCKETS.index(0.025)] == 1
    assert sum(view.latency_counts) == 1


@pytest.mark.parametrize(
    ("statuses", "times", "status", "errors", "timed"),
    [
        ("200", "0.010", "200", 0, 1),
        ("404", "0.010", "404", 0, 1),
        ("500", "0.010", "500", 1, 1),
        ("502", "-", "502", 1, 0),  # it broke off
        ("504", "-", "504", 1, 0),  # it said nothing
        ("-", "-", "499", 0, 0),  # the client went away
        ("-", "-", "503", 1, 0),
        ("101", "0.003", "101", 0, 1),  # a WebSocket
    ],
)
def test_what_counts_as_an_error(
    log: AccessLog, statuses: str, times: str, status: str, errors: int, timed: int
) -> None:
    log.count(line(A, statuses, times, status=status), 1000.0)
    view = log.traffic(1000.0)[A]
    assert (view.requests, view.errors, sum(view.latency_counts)) == (1, errors, timed)


@pytest.mark.parametrize("separator", [", ", " : "])
def test_each_attempt_of_a_request_is_its_replicas_own(log: AccessLog, separator: str) -> None:
    log.count(line(f"{A}{separator}{B}", f"502{separator}200", f"-{separator}0.300"), 1000.0)
    seen = log.traffic(1000.0)
    assert (seen[A].requests, seen[A].errors) == (1, 1)
    assert (seen[B].requests, seen[B].errors) == (1, 0)
    assert seen[B].latency_counts[LATENCY_BUCKETS.index(0.35)] == 1


def test_an_upload_says_nothing_about_latency(log: AccessLog) -> None:
    log.count(line(A, "202", "31.000", pace="-", method="POST"), 1000.0)
    view = log.traffic(1000.0)[A]
    assert (view.requests, sum(view.latency_counts)) == (1, 0)


def test_what_no_replica_got_is_nobodys(log: AccessLog) -> None:
    log.count(line(f"{A} : backend", "502 : 502", "- : -"), 1000.0)
    assert set(log.traffic(1000.0)) == {A}


@pytest.mark.parametrize(
    "junk",
    [b"", b"\xff\xfe", b"hello", b"a|b|c|d|e|f", line(A, "200, 200", "0.1"), line(f"{A}, {B}", "200", "x"), b"|" * 40],
)
def test_what_cannot_be_read_is_passed_over(log: AccessLog, junk: bytes) -> None:
    log.count(junk, 1000.0)
    log.count(line(B, "200", "0.001"), 1000.0)
    assert log.traffic(1000.0)[B].requests == 1


def test_slower_than_the_last_bound_has_a_count_of_its_own(log: AccessLog) -> None:
    log.count(line(A, "200", "59.000"), 1000.0)
    view = log.traffic(1000.0)[A]
    assert view.latency_counts[-1] == 1
    assert len(view.latency_counts) == len(LATENCY_BUCKETS) + 1
    assert view.p95_seconds == LATENCY_BUCKETS[-1]


def test_rate_and_p95_are_of_the_last_minute(log: AccessLog) -> None:
    for second in range(100):
        for _ in range(10):
            log.count(line(A, "200", "2.000" if second < 20 else "0.008"), 1000.0 + second)
    view = log.traffic(1099.5)[A]
    assert view.requests_per_second == pytest.approx(10, rel=0.05)
    assert view.p95_seconds is not None
    assert view.p95_seconds <= 0.01
    later = log.traffic(1300.0)[A]
    assert (later.requests, later.requests_per_second, later.p95_seconds) == (1000, 0.0, None)


def test_an_address_that_is_gone_for_an_hour_is_forgotten(log: AccessLog) -> None:
    log.count(line(A, "200", "0.001"), 1000.0)
    log.count(line(B, "200", "0.001"), 1000.0 + FORGET_SECONDS)
    assert set(log.traffic(1001.0 + FORGET_SECONDS)) == {B}


def test_an_address_with_another_replica_begins_at_zero(log: AccessLog) -> None:
    log.count(line(A, "500", "0.001"), 1000.0)
    log.forget(A)
    log.count(line(A, "200", "0.001"), 1000.0)
    assert (log.traffic(1000.0)[A].requests, log.traffic(1000.0)[A].errors) == (1, 0)


@pytest.mark.parametrize(
    ("counts", "share", "expected"),
    [
        ([0] * 15, 0.95, None),
        ([100] + [0] * 14, 0.5, 0.0025),
        ([50, 50] + [0] * 13, 0.75, 0.0075),
        ([0] * 14 + [1], 0.95, 10.0),
    ],
)
def test_quantile(counts: list[int], share: float, expected: float | None) -> None:
    assert quantile(counts, share) == (expected if expected is None else pytest.approx(expected))


async def test_it_hears_nginx_and_nobody_else() -> None:
    log = AccessLog(lambda: 5.0, host="127.0.0.1", port=0)
    log.open()
    try:
        log.trust(frozenset({"127.0.0.2"}))
        for source in ("127.0.0.3", "127.0.0.2"):  # what is passed over comes first
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nginx:
                nginx.bind((source, 0))
                nginx.sendto(line(A if source.endswith("2") else B, "200", "0.001"), ("127.0.0.1", log.port))
        for _ in range(100):
            await asyncio.sleep(0.02)
            if A in log.traffic(5.0):
                break
        assert set(log.traffic(5.0)) == {A}
        with pytest.raises(Unavailable, match="cannot be received"):
            AccessLog(lambda: 5.0, host="127.0.0.1", port=log.port).open()
    finally:
        log.close()
