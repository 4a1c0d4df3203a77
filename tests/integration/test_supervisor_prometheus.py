"""Readings from a real Prometheus: each way of having no value is told apart, and what is old has none."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import docker
import httpx
import pytest
from docker.errors import DockerException, ImageNotFound, NotFound
from docker.models.containers import Container

from supervisor.adapters.prometheus_source import PrometheusSource
from supervisor.ports import Refused, Unavailable
from tests.fixtures.ports import free_port
from tests.integration.containers import ROOT, readable

PREFIX = "mp-it-prom"
CONFIGURATION = """
global: { scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }
rule_files: [/etc/prometheus/rules.yml]
scrape_configs:
  - job_name: backend
    dns_sd_configs: [{ names: [backend], type: A, port: 8000, refresh_interval: 1s }]
"""
RULES = """
groups:
  - name: test
    rules:
      - alert: QueueIsLong
        expr: queue > 100
        labels: { service: ai-engine, severity: critical }
        annotations: { summary: "{{ $value }} wait" }
      - alert: NotYet
        expr: queue > 100
        for: 1h
"""
PAGE = """
queue 7
load{replica="a"} 1
load{replica="b"} 3
strange NaN
endless +Inf
forgotten 5 @AGE@
"""


@dataclass(frozen=True)
class Watch:
    """A running Prometheus and the exporter that it scrapes."""

    url: str
    prometheus: Container
    exporter: Container
    exporter_url: str

    def tell(self, page: str) -> None:
        httpx.post(f"{self.exporter_url}/metrics", content=page.encode()).raise_for_status()


@pytest.fixture(scope="module")
def client() -> Iterator[docker.DockerClient]:
    try:
        client = docker.from_env()
        client.images.get("modporter/prometheus:local")
    except (DockerException, ImageNotFound) as error:
        if os.environ.get("REQUIRE_DOCKER") == "1":
            raise
        pytest.skip(f"no Prometheus can be started: {error}")
    yield client
    client.close()


@pytest.fixture(scope="module")
def watch(client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    folder = readable(tmp_path_factory.mktemp("prometheus"))
    (folder / "prometheus.yml").write_text(CONFIGURATION)
    (folder / "rules.yml").write_text(RULES)
    remove_leftovers(client)
    network = client.networks.create(PREFIX)
    try:
        exporter_port, port = free_port(), free_port()
        exporter = client.containers.create(
            "modporter/python:local",
            ["/usr/bin/python3", "/told_metrics.py"],
            name=f"{PREFIX}-exporter",
            volumes={str(ROOT / "tests/fixtures/told_metrics.py"): {"bind": "/told_metrics.py", "mode": "ro"}},
            ports={"8000/tcp": ("127.0.0.1", exporter_port)},
        )
        network.connect(exporter, aliases=["backend"])
        exporter.start()
        prometheus = start(client, folder, port)
        yield Watch(f"http://127.0.0.1:{port}", prometheus, exporter, f"http://127.0.0.1:{exporter_port}")
    finally:
        remove_leftovers(client)


def start(client: docker.DockerClient, folder: Path, port: int) -> Container:
    """Prometheus as the Compose file runs it."""
    prometheus = client.containers.run(
        "modporter/prometheus:local",
        ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"],
        name=PREFIX,
        detach=True,
        user="65534:65534",
        read_only=True,
        cap_drop=["ALL"],
        tmpfs={"/tmp": ""},
        network=PREFIX,
        ports={"9090/tcp": ("127.0.0.1", port)},
        volumes={str(folder): {"bind": "/etc/prometheus", "mode": "ro"}, f"{PREFIX}-data": {"bind": "/prometheus"}},
    )
    deadline = time.monotonic() + 30
    healthy = ["promtool", "check", "healthy", "--url=http://127.0.0.1:9090"]
    while prometheus.exec_run(healthy).exit_code != 0:
        assert time.monotonic() < deadline, prometheus.logs().decode()
        time.sleep(0.2)
    return prometheus


def remove_leftovers(client: docker.DockerClient) -> None:
    for container in client.containers.list(all=True, filters={"name": f"^/{PREFIX}"}):
        container.remove(force=True, v=True)
    with contextlib.suppress(NotFound):
        client.volumes.get(f"{PREFIX}-data").remove(force=True)
    with contextlib.suppress(NotFound):
        client.networks.get(PREFIX).remove()


@pytest.fixture
async def source(watch: Watch) -> AsyncIterator[PrometheusSource]:
    watch.tell(PAGE)
    source = PrometheusSource(watch.url, lambda: 77.0)
    await eventually(lambda: has_value(source, "queue", 7))
    yield source
    await source.close()


async def has_value(source: PrometheusSource, promql: str, value: float | None) -> bool:
    return (await source.query(promql)).value == value


async def eventually(is_so: Callable[[], Awaitable[object]], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not await is_so():
        assert time.monotonic() < deadline
        time.sleep(0.2)  # noqa: ASYNC251 - nothing else runs here


def test_the_projects_configuration_is_accepted(client: docker.DockerClient) -> None:
    told = client.containers.run(
        "modporter/prometheus:local",
        ["check", "config", "/etc/prometheus/prometheus.yml"],
        entrypoint="promtool",
        volumes={str(ROOT / "prometheus"): {"bind": "/etc/prometheus", "mode": "ro"}},
        remove=True,
    )
    assert b"SUCCESS" in told


async def test_one_number_is_a_reading(source: PrometheusSource) -> None:
    reading = await source.query('sum(load{job="backend"})')
    assert (reading.value, reading.problem, reading.at) == (4.0, "", 77.0)
    assert (await source.query("scalar(queue)")).value == 7.0


@pytest.mark.parametrize(
    ("promql", "problem"),
    [
        ("no_such_metric", "The query has no data."),
        ("load", "The query yields 2 series where one is needed: aggregate it."),
        ("strange", "The query's value is not a number."),
        ("endless", "The query's value is infinite."),
        ("scalar(load)", "The query's value is not a number."),
        ('"text"', "The query yields a string where one number is needed."),
        ("queue[1m]", "The query yields a matrix where one number is needed."),
        ("sum(", "Prometheus does not take the query:"),
        ("sum(queue) by (", "Prometheus does not take the query:"),
        ("load / on(job) load", "Prometheus does not take the query:"),
        ("forgotten", "The query has no data."),  # a minute old: Prometheus alone would still show it
    ],
)
async def test_everything_else_says_what_it_is(source: PrometheusSource, promql: str, problem: str) -> None:
    reading = await source.query(promql)
    assert reading.value is None
    assert reading.problem.startswith(problem)


async def test_the_old_sample_is_there_for_who_looks_back_further(source: PrometheusSource, watch: Watch) -> None:
    """Else the test above would prove nothing."""
    async with httpx.AsyncClient(base_url=watch.url) as plain:
        answer = (await plain.get("/api/v1/query", params={"query": "forgotten"})).json()
    assert answer["data"]["result"][0]["value"][1] == "5"


async def test_a_replica_that_is_gone_is_no_data(source: PrometheusSource, watch: Watch) -> None:
    watch.exporter.pause()
    try:
        await eventually(lambda: has_value(source, "queue", None))
        assert (await source.query("queue")).problem == "The query has no data."
        assert (await source.query('up{job="backend"}')).value == 0
    finally:
        watch.exporter.unpause()
    await eventually(lambda: has_value(source, "queue", 7))


async def test_firing_alerts_are_told_and_pending_ones_are_not(source: PrometheusSource, watch: Watch) -> None:
    watch.tell("queue 250\n")
    await eventually(source.alerts)
    [alert] = await source.alerts()
    assert (alert.name, alert.service, alert.severity) == ("QueueIsLong", "ai-engine", "critical")
    assert alert.summary == "250 wait"
    assert alert.since is not None
    assert abs(datetime.now(UTC) - alert.since) < timedelta(minutes=1)


async def test_a_range_is_a_series(source: PrometheusSource) -> None:
    await eventually(lambda: has_value(source, "count_over_time(queue[10s]) > bool 3", 1))
    now = datetime.now(UTC)
    series = await source.query_range("queue", now - timedelta(seconds=3), now, 1)
    assert len(series) >= 2
    assert {value for _, value in series} <= {7.0, 250.0}
    assert await source.query_range("no_such_metric", now - timedelta(seconds=3), now, 1) == ()
    with pytest.raises(Refused, match="2 series"):
        await source.query_range("load", now - timedelta(seconds=3), now, 1)
    with pytest.raises(Refused, match="does not take"):
        await source.query_range("sum(", now - timedelta(seconds=3), now, 1)


async def test_a_hung_prometheus_is_not_waited_for(source: PrometheusSource, watch: Watch) -> None:
    watch.prometheus.pause()
    began = time.monotonic()
    try:
        reading = await source.query("queue")
        with pytest.raises(Unavailable, match="did not answer within 2 s"):
            await source.alerts()
    finally:
        watch.prometheus.unpause()
    assert (reading.value, reading.problem) == (None, "Prometheus did not answer within 2 s.")
    assert time.monotonic() - began < 7
    await eventually(lambda: has_value(source, "queue", 7))


async def test_a_prometheus_that_is_away_is_told_and_used_again_when_it_is_back(
    source: PrometheusSource, watch: Watch
) -> None:
    watch.prometheus.stop(timeout=5)
    reading = await source.query("queue")
    assert reading.value is None
    assert reading.problem.startswith("Prometheus cannot be reached:")
    with pytest.raises(Unavailable):
        await source.alerts()
    watch.prometheus.start()
    await eventually(lambda: has_value(source, "queue", 7), 30)
