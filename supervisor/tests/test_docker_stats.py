"""Usage from Docker's one-shot statistics, on both versions of control groups, and how often it is asked for."""

from __future__ import annotations

import asyncio
import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar

import pytest

from supervisor.adapters.docker_stats import DockerStats, Sample, cpu_between, memory_bytes, sample_of, usage_of
from supervisor.domain.snapshot import ContainerState, ReplicaView, ReportedHealth
from tests.fixtures.supervisor_world import FakeClock


def answer(cpu: int = 10**9, host: int = 10**10, **memory: Any) -> dict[str, Any]:
    return {
        "cpu_stats": {"cpu_usage": {"total_usage": cpu}, "system_cpu_usage": host, "online_cpus": 4},
        "memory_stats": {"usage": 300, "limit": 1000, "stats": {"inactive_file": 100}, **memory},
        "networks": {"eth0": {"rx_bytes": 5, "tx_bytes": 7}, "eth1": {"rx_bytes": 1, "tx_bytes": 1}},
        "blkio_stats": {
            "io_service_bytes_recursive": [{"op": "Read", "value": 10}, {"op": "write", "value": 20}, {"op": "Sync"}]
        },
    }


def replica(name: str, service: str = "web", state: ContainerState = ContainerState.RUNNING) -> ReplicaView:
    return ReplicaView(
        id=name,
        name=name,
        service=service,
        number=1,
        state=state,
        health=ReportedHealth.NONE,
        image="i",
        image_id="i",
        config_hash="h",
        is_clone=False,
    )


def test_cpu_is_the_share_of_the_host_s_time_between_two_samples() -> None:
    before, now = Sample(cpu=10**9, host=10**10), Sample(cpu=2 * 10**9, host=18 * 10**9)
    assert cpu_between(before, now, online_cpus=4) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "before", [None, Sample(cpu=3 * 10**9, host=10**10), Sample(cpu=10**9, host=18 * 10**9)], ids=str
)
def test_one_sample_or_one_of_another_process_gives_no_cpu(before: Sample | None) -> None:
    assert cpu_between(before, Sample(cpu=2 * 10**9, host=18 * 10**9), online_cpus=4) is None


def test_ratios_are_of_the_container_s_own_limits() -> None:
    view = usage_of(answer(), at=3.0, cpus=0.25, limit=0.5)
    assert view.cpu_ratio == pytest.approx(0.5)
    assert view.cpu_cores == pytest.approx(0.25)
    assert view.memory_ratio == pytest.approx(0.2)
    assert view.cpu_seconds_total == pytest.approx(1.0)
    assert (view.network_receive_bytes_total, view.network_transmit_bytes_total) == (6, 8)
    assert (view.block_read_bytes_total, view.block_write_bytes_total) == (10, 20)


def test_without_a_limit_cpu_is_a_ratio_of_the_host() -> None:
    assert usage_of(answer(), at=3.0, cpus=1.0, limit=None).cpu_ratio == pytest.approx(0.25)


def test_a_container_without_network_and_disk_has_none() -> None:
    view = usage_of({**answer(), "networks": None, "blkio_stats": {}}, at=1.0, cpus=None, limit=None)
    assert (view.network_receive_bytes_total, view.block_read_bytes_total, view.cpu_ratio) == (0, 0, None)


@pytest.mark.parametrize(
    ("stats", "used"),
    [
        ({"inactive_file": 100}, 200),  # version 2
        ({"total_inactive_file": 120, "inactive_file": 1}, 180),  # version 1
        ({}, 300),
        (None, 300),
        ({"inactive_file": 400}, 0),
    ],
)
def test_memory_is_without_the_cache_that_can_be_given_back(stats: dict[str, int] | None, used: int) -> None:
    assert memory_bytes({"usage": 300, "stats": stats}) == used


def test_a_container_that_does_not_run_has_no_sample() -> None:
    assert sample_of({"memory_stats": {}, "cpu_stats": {"cpu_usage": {"total_usage": 0}}}) is None


class Engine(BaseHTTPRequestHandler):
    """Answers as the engine does, and notes who was asked for."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[str]] = []
    broken: ClassVar[set[str]] = set()

    def do_GET(self) -> None:
        name = self.path.split("/")[3]
        self.asked.append(name)
        if name in self.broken:
            self.close_connection = True
            return
        count = self.asked.count(name)
        body = json.dumps(answer(cpu=count * 10**9, host=count * 8 * 10**9)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "socket"

    def log_message(self, *_: object) -> None:
        """Silent."""


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[str]:
    Engine.asked.clear()
    Engine.broken.clear()
    path = str(tmp_path / "engine.sock")
    with UnixServer(path, Engine) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield path
        server.shutdown()
        thread.join()


async def settled(stats: DockerStats) -> None:
    """Until the batch in hand is there."""
    for _ in range(200):
        await asyncio.sleep(0.01)
        if stats._batch is None or stats._batch.done():
            return


async def test_usage_comes_with_the_next_look_and_cpu_with_the_second_sample(engine: str) -> None:
    clock = FakeClock()
    stats = DockerStats(engine, clock, cpu_limit=lambda _: 0.5, is_preferred=lambda _: False)
    replicas = [replica("a"), replica("b", state=ContainerState.EXITED)]
    assert stats.usage(replicas) == {}
    await settled(stats)
    first = stats.usage(replicas)["a"]
    assert (first.at, first.cpu_ratio) == (clock.now(), None)
    clock.steady += 2
    stats.usage(replicas)
    await settled(stats)
    assert stats.usage(replicas)["a"].cpu_ratio == pytest.approx(1.0)  # half a processor of half a one
    assert Engine.asked == ["a", "a"]
    stats.close()


async def test_the_budget_goes_to_the_stalest_and_sooner_to_services_that_scale(engine: str) -> None:
    clock = FakeClock()
    stats = DockerStats(engine, clock, lambda _: None, lambda service: service == "scaled", budget=2)
    replicas = [replica("a"), replica("b"), replica("c", "scaled"), replica("d", "scaled")]
    for _ in range(12):
        stats.usage(replicas)
        await settled(stats)
        clock.steady += 2
    assert len(Engine.asked) == 24
    assert Engine.asked.count("c") > Engine.asked.count("a") >= 2
    assert Engine.asked.count("d") > Engine.asked.count("b") >= 2
    stats.close()


async def test_a_container_that_does_not_answer_keeps_its_old_value_and_costs_the_others_nothing(engine: str) -> None:
    clock = FakeClock()
    stats = DockerStats(engine, clock, lambda _: None, lambda _: False)
    replicas = [replica("a"), replica("b")]
    stats.usage(replicas)
    await settled(stats)
    began = clock.now()
    stats.usage(replicas)
    Engine.broken.add("a")
    clock.steady += 2
    stats.usage(replicas)
    await settled(stats)
    usage = stats.usage(replicas)
    assert (usage["a"].at, usage["b"].at) == (began, clock.now())
    stats.close()


async def test_what_is_gone_is_forgotten(engine: str) -> None:
    clock = FakeClock()
    stats = DockerStats(engine, clock, lambda _: None, lambda _: False)
    stats.usage([replica("a")])
    await settled(stats)
    assert set(stats.usage([replica("a")])) == {"a"}
    assert stats.usage([]) == {}
    stats.close()


async def test_without_an_engine_nothing_is_known(tmp_path: Path) -> None:
    stats = DockerStats(str(tmp_path / "none.sock"), FakeClock(), lambda _: None, lambda _: False)
    stats.usage([replica("a")])
    await settled(stats)
    assert stats.usage([replica("a")]) == {}
    stats.close()
