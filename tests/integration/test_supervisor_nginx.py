"""The supervisor's lists in a real NGINX with the project's configuration: nothing is lost, everything is proven."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import httpx
import pytest
from docker.errors import DockerException, ImageNotFound, NotFound
from docker.models.containers import Container

from supervisor.adapters.access_log import AccessLog
from supervisor.adapters.nginx_upstreams import Nginx, NginxUpstreams
from supervisor.domain.snapshot import BalancerView, Member, TrafficView
from tests.integration.containers import ROOT, readable

PREFIX = "mp-it-lists"
REPLICAS = 3
INTERNAL_PORT = 8081  # plain HTTP to the backend without limits, as the services use it


@dataclass(frozen=True)
class Door:
    """NGINX, the replicas behind it, and the folder that both sides share."""

    nginx: Container
    replicas: tuple[Container, ...]
    folder: Path

    @property
    def address(self) -> str:
        return address_of(self.nginx)

    def member(self, number: int, weight: int = 100) -> Member:
        replica = self.replicas[number]
        return Member(replica_id=str(replica.id), address=f"{address_of(replica)}:8000", weight=weight)

    def name(self, number: int) -> str:
        return str(self.replicas[number].id)[:12]

    async def reload(self, _cause: str) -> None:
        await asyncio.to_thread(self.nginx.kill, "HUP")

    def connections(self, number: int) -> int:
        """Connections from NGINX that the replica's kernel has open."""
        table = self.replicas[number].exec_run(["cat", "/proc/net/tcp"]).output.decode().splitlines()[1:]
        rows = [line.split() for line in table]
        return sum(local.endswith(":1F40") and state == "01" for _, local, _, state, *_ in rows)


def address_of(container: Container) -> str:
    container.reload()
    return str(container.attrs["NetworkSettings"]["Networks"][PREFIX]["IPAddress"])


@pytest.fixture(scope="module")
def client() -> Iterator[docker.DockerClient]:
    try:
        client = docker.from_env()
        for image in ("nginx", "python"):
            client.images.get(f"modporter/{image}:local")
    except (DockerException, ImageNotFound) as error:
        if os.environ.get("REQUIRE_DOCKER") == "1":
            raise
        pytest.skip(f"no NGINX can be started: {error}")
    yield client
    client.close()


@pytest.fixture(scope="module")
def built(client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    folder = readable(tmp_path_factory.mktemp("upstreams"))
    remove_leftovers(client)
    client.networks.create(PREFIX)
    try:
        replicas = tuple(start_replica(client, number) for number in range(REPLICAS))
        yield Door(start_nginx(client, folder), replicas, folder)
    finally:
        remove_leftovers(client)


@pytest.fixture
def door(built: Door) -> Door:
    """As it was at the beginning: every replica runs, nothing is written."""
    for replica in built.replicas:
        replica.start()
    for path in built.folder.iterdir():
        path.unlink()
    built.nginx.kill("HUP")
    time.sleep(1.5)  # replicas listen, DNS answers are renewed, old workers are gone
    return built


def remove_leftovers(client: docker.DockerClient) -> None:
    for container in client.containers.list(all=True, filters={"name": f"^/{PREFIX}"}):
        container.remove(force=True)
    with contextlib.suppress(NotFound):
        client.networks.get(PREFIX).remove()


def start_replica(client: docker.DockerClient, number: int) -> Container:
    replica = client.containers.create(
        "modporter/python:local",
        ["/usr/bin/python3", "/echo.py"],
        name=f"{PREFIX}-backend-{number}",
        volumes={str(ROOT / "tests/fixtures/echo_upstream.py"): {"bind": "/echo.py", "mode": "ro"}},
    )
    client.networks.get(PREFIX).connect(replica, aliases=["backend", "frontend", "ai-engine"])
    client.networks.get("bridge").disconnect(replica)
    replica.start()
    return replica


def start_nginx(client: docker.DockerClient, folder: Path) -> Container:
    """With the project's files, but for the public site, which needs certificates."""
    mounts = {
        str(ROOT / "nginx" / name): {"bind": f"/etc/nginx/{name}", "mode": "ro"}
        for name in ("nginx.conf", "conf.d", "snippets")
    }
    nginx = client.containers.run(
        "modporter/nginx:local",
        name=PREFIX,
        detach=True,
        network=PREFIX,
        user="101:101",
        read_only=True,
        cap_drop=["ALL"],
        tmpfs={"/run/nginx": "uid=101,gid=101", "/var/cache/nginx": "uid=101,gid=101", "/tmp": ""},
        volumes={**mounts, str(folder): {"bind": "/etc/nginx/upstreams", "mode": "ro"}},
    )
    deadline = time.monotonic() + 20
    while nginx.exec_run(["curl", "-fsS", f"http://127.0.0.1:{INTERNAL_PORT}/api/v1/things"]).exit_code != 0:
        assert time.monotonic() < deadline, nginx.logs().decode()
        time.sleep(0.2)
    return nginx


@dataclass(frozen=True)
class Supervised:
    """A door and the adapters that look after it."""

    door: Door
    balancer: NginxUpstreams
    log: AccessLog

    async def set(self, *members: Member) -> BalancerView:
        """Give NGINX this list and wait for the proof."""
        written = await self.balancer.set_members({"backend": members}, cause="test")
        for _ in range(100):
            view = await self.balancer.view()
            if view.applied == written:
                return view
            await asyncio.sleep(0.05)
        raise AssertionError(f"{view}\n{self.door.nginx.logs(tail=20).decode()}")

    async def traffic_of(self, number: int) -> TrafficView | None:
        await asyncio.sleep(0.3)
        return self.balancer.traffic(time.monotonic()).get(self.door.member(number).address)


def look_after(door: Door, port: int = 0) -> Supervised:
    log = AccessLog(time.monotonic, port=port)
    log.open()
    nginx = Nginx(addresses=lambda: [door.address], reload=door.reload)
    return Supervised(door, NginxUpstreams(door.folder, nginx, log, time.monotonic), log)


@pytest.fixture
async def supervised(door: Door) -> AsyncIterator[Supervised]:
    found = look_after(door)
    yield found
    found.log.close()


class Visitors:
    """Sends requests at a steady pace, GETs and POSTs, whatever becomes of the earlier ones."""

    def __init__(self, door: Door, per_second: float, *, only_get: bool = False) -> None:
        self._url = f"http://{door.address}:{INTERNAL_PORT}"
        self._pause = 1 / per_second
        self._methods = ("GET",) if only_get else ("GET", "GET", "POST")
        self.results: Counter[str] = Counter()
        self.replicas: Counter[str] = Counter()
        self.slowest = 0.0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Visitors:
        self._task = asyncio.create_task(self._come())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    @property
    def sent(self) -> int:
        return sum(self.results.values())

    async def _come(self) -> None:
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=50)
        async with httpx.AsyncClient(base_url=self._url, timeout=20, limits=limits) as client:
            asked: set[asyncio.Task[None]] = set()
            began, count = time.monotonic(), 0
            try:
                while True:
                    method = self._methods[count % len(self._methods)]
                    task = asyncio.create_task(self._ask(client, method))
                    asked.add(task)
                    task.add_done_callback(asked.discard)
                    count += 1
                    await asyncio.sleep(max(0.0, began + count * self._pause - time.monotonic()))
            finally:
                await asyncio.gather(*asked)

    async def _ask(self, client: httpx.AsyncClient, method: str) -> None:
        began = time.monotonic()
        try:
            answer = await client.request(method, "/api/v1/things", content=b"x" * 100 if method == "POST" else None)
            self.results["answered" if answer.status_code == 200 else f"{method} {answer.status_code}"] += 1
            if answer.status_code == 200:
                self.replicas[answer.json()["replica"]] += 1
        except httpx.HTTPError as error:
            self.results[f"{method} {type(error).__name__}"] += 1
        self.slowest = max(self.slowest, time.monotonic() - began)


async def who_answers(door: Door, requests: int = 60) -> set[str]:
    async with httpx.AsyncClient(base_url=f"http://{door.address}:{INTERNAL_PORT}", timeout=10) as client:
        answers = [await client.get("/api/v1/things") for _ in range(requests)]
    assert {answer.status_code for answer in answers} == {200}
    return {answer.json()["replica"] for answer in answers}


async def test_without_a_list_and_with_an_empty_one_the_net_serves(supervised: Supervised) -> None:
    everybody = {supervised.door.name(number) for number in range(REPLICAS)}
    assert (await supervised.balancer.view()).applied == 0
    assert await who_answers(supervised.door) == everybody
    view = await supervised.set()
    assert (view.applied, view.members) == (1, {"backend": ()})
    assert await who_answers(supervised.door) == everybody


async def test_only_listed_replicas_are_asked(supervised: Supervised) -> None:
    door = supervised.door
    await supervised.set(door.member(1))
    assert await who_answers(door) == {door.name(1)}
    await supervised.set(door.member(0), door.member(2))
    assert await who_answers(door) == {door.name(0), door.name(2)}


async def test_when_everything_listed_is_dead_the_net_serves(supervised: Supervised) -> None:
    await supervised.set(Member(replica_id="gone", address=f"{supervised.door.address}:9"))
    assert len(await who_answers(supervised.door)) == REPLICAS


async def test_the_list_is_in_force_within_a_second(supervised: Supervised) -> None:
    """Or a little more, on a machine that is busy."""
    for number in range(3):
        began = time.monotonic()
        await supervised.set(supervised.door.member(number))
        assert time.monotonic() - began < 3
        assert await who_answers(supervised.door, 20) == {supervised.door.name(number)}


async def test_a_weight_is_a_share_of_the_traffic(supervised: Supervised) -> None:
    door = supervised.door
    await supervised.set(door.member(0), door.member(1), door.member(2, weight=5))
    async with Visitors(door, 150) as visitors:
        await asyncio.sleep(5)
    assert set(visitors.results) == {"answered"}
    share = visitors.replicas[door.name(2)] / visitors.sent
    assert share == pytest.approx(5 / 205, abs=0.015), visitors.replicas
    assert visitors.replicas[door.name(0)] / visitors.sent > 0.4


async def test_forty_reloads_under_load_lose_nothing(supervised: Supervised) -> None:
    door = supervised.door
    members = [door.member(number) for number in range(REPLICAS)]
    await supervised.set(*members)
    async with Visitors(door, 150) as visitors:
        for turn in range(40):
            await supervised.balancer.set_members({"backend": members[: 2 + turn % 2]}, cause="test")
            await asyncio.sleep(0.05)
    assert visitors.sent > 300
    assert set(visitors.results) == {"answered"}, visitors.results


async def test_a_replica_leaves_without_a_loss_when_its_connections_are_gone(supervised: Supervised) -> None:
    door = supervised.door
    await supervised.set(*(door.member(number) for number in range(REPLICAS)))
    async with Visitors(door, 150) as visitors:
        await asyncio.sleep(1)
        assert door.connections(0) > 0
        await supervised.set(door.member(1), door.member(2))
        deadline = time.monotonic() + 10
        while door.connections(0):
            assert time.monotonic() < deadline, "NGINX holds connections to a replica that is not listed"
            await asyncio.sleep(0.1)
        await asyncio.to_thread(door.replicas[0].kill)
        await asyncio.sleep(1)
    assert set(visitors.results) == {"answered"}, visitors.results


async def test_a_hung_replica_is_taken_out_and_its_requests_are_answered_by_others(supervised: Supervised) -> None:
    door = supervised.door
    await supervised.set(*(door.member(number) for number in range(REPLICAS)))
    async with Visitors(door, 100, only_get=True) as visitors:
        await asyncio.sleep(1)
        await asyncio.to_thread(door.replicas[0].pause)
        await asyncio.sleep(0.5)
        await supervised.set(door.member(1), door.member(2))
        await asyncio.sleep(0.5)
        await asyncio.to_thread(door.replicas[0].unpause)
        await asyncio.to_thread(door.replicas[0].kill)
        await asyncio.sleep(2)
    assert set(visitors.results) == {"answered"}, visitors.results
    assert visitors.slowest < 10  # a busy machine; make bench-supervisor measures it


async def test_a_file_that_nginx_refuses_leaves_the_old_list_in_force(supervised: Supervised) -> None:
    door = supervised.door
    good = (await supervised.set(door.member(1))).applied
    (door.folder / "frontend.servers").write_text("server no.such.host.example:8000;\n")
    bad = await supervised.balancer.set_members({"backend": [door.member(2)]}, cause="test")
    await asyncio.sleep(1.2)
    view = await supervised.balancer.view()
    assert (view.written, view.applied, view.members["backend"]) == (bad, good, (door.member(1),))
    assert f"answers generation {good}, not {bad}" in view.problem
    assert await who_answers(door) == {door.name(1)}
    (door.folder / "frontend.servers").unlink()
    for _ in range(60):
        if (view := await supervised.balancer.view()).applied == bad:  # it reloads again by itself
            break
        await asyncio.sleep(0.3)
    assert (view.applied, view.problem) == (bad, "")
    assert await who_answers(door) == {door.name(2)}


async def test_a_restarted_nginx_has_the_newest_list(supervised: Supervised) -> None:
    door = supervised.door
    before = (await supervised.set(door.member(1))).applied
    await asyncio.to_thread(door.nginx.restart, timeout=5)
    for _ in range(50):
        await asyncio.sleep(0.1)
        if (view := await supervised.balancer.view()).applied is not None:
            break
    assert view.applied == before
    assert await who_answers(door) == {door.name(1)}


async def test_what_became_of_each_attempt_is_counted(supervised: Supervised) -> None:
    door = supervised.door
    await supervised.set(*(door.member(number) for number in range(REPLICAS)))
    async with httpx.AsyncClient(base_url=f"http://{door.address}:{INTERNAL_PORT}", timeout=10) as client:
        for _ in range(60):
            await client.get("/api/v1/things")
        for _ in range(3):  # breaks off without an answer
            assert (await client.post("/api/v1/die", content=b"x")).status_code in (502, 503)
    views = [await supervised.traffic_of(number) for number in range(REPLICAS)]
    assert sum(view.requests for view in views if view) == 63
    assert sum(view.errors for view in views if view) == 3
    assert all(view and sum(view.latency_counts) == view.requests - view.errors > 0 for view in views)
    assert all(view and view.p95_seconds is not None and view.requests_per_second > 0 for view in views)


async def test_a_client_that_goes_away_is_not_the_replicas_error(supervised: Supervised) -> None:
    door = supervised.door
    await supervised.set(door.member(0))
    await asyncio.to_thread(door.replicas[0].pause)
    try:
        async with httpx.AsyncClient(timeout=0.5) as client:
            with pytest.raises(httpx.TimeoutException):
                await client.get(f"http://{door.address}:{INTERNAL_PORT}/api/v1/things")
        view = await supervised.traffic_of(0)
    finally:
        await asyncio.to_thread(door.replicas[0].unpause)
    assert view
    assert (view.requests, view.errors, sum(view.latency_counts)) == (1, 0, 0)


async def test_nginx_neither_waits_for_the_supervisor_nor_complains_of_it(supervised: Supervised) -> None:
    door = supervised.door
    await supervised.set(door.member(0), door.member(1))
    port = supervised.log.port
    supervised.log.close()
    before = len(door.nginx.logs(stdout=False).splitlines())
    async with Visitors(door, 150) as visitors:
        await asyncio.sleep(4)
    complaints = len(door.nginx.logs(stdout=False).splitlines()) - before
    assert set(visitors.results) == {"answered"}
    assert visitors.slowest < 10
    assert complaints < visitors.sent / 10, door.nginx.logs(stdout=False, tail=20).decode()
    successor = look_after(door, port)
    try:
        view = await successor.balancer.view()
        assert (view.problem, view.members["backend"]) == ("", (door.member(0), door.member(1)))
        for _ in range(3):  # the first one may meet the old failure
            await who_answers(door, 10)
        heard = [await successor.traffic_of(number) for number in (0, 1)]
        assert sum(seen.requests for seen in heard if seen) > 20
    finally:
        successor.log.close()


async def test_nginx_reports_to_a_supervisor_with_another_address(supervised: Supervised) -> None:
    """As after the supervisor's container was made anew: who begins to act says where it is, and reloads."""
    door = supervised.door
    await supervised.set(door.member(0))
    supervised.log.close()
    successor = look_after(door)
    try:
        await successor.balancer.set_members({}, cause="start")
        await asyncio.sleep(0.5)
        await who_answers(door, 20)
        heard = await successor.traffic_of(0)
        assert heard
        assert heard.requests == 20
    finally:
        successor.log.close()
