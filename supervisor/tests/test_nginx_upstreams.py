"""The lists of replicas in files, and the proof that NGINX reads them: against a server that behaves as NGINX does."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from supervisor.adapters import nginx_files
from supervisor.adapters.access_log import AccessLog
from supervisor.adapters.nginx_files import Written
from supervisor.adapters.nginx_upstreams import RELOAD_PAUSE_SECONDS, Nginx, NginxUpstreams
from supervisor.domain.snapshot import Member
from supervisor.ports import Unavailable

ONE = Member(replica_id="aaa", address="172.20.0.5:8000")
TWO = Member(replica_id="bbb", address="172.20.0.6:8000", weight=5)


class NginxDouble:
    """Answers /generation with what the files said at its last reload, as NGINX does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.in_force = Written()
        self.reloads: list[tuple[float, str]] = []
        self.refuses_files = False
        self.is_unreachable = False
        self.port = 0

    async def reload(self, cause: str) -> None:
        if self.is_unreachable:
            raise Unavailable("Docker does not answer.")
        self.reloads.append((time.monotonic(), cause))
        if not self.refuses_files:
            self.in_force = nginx_files.read(self.folder)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n%d\n" % self.in_force.generation)
        writer.close()


@pytest.fixture
async def nginx(tmp_path: Path) -> AsyncIterator[NginxDouble]:
    double = NginxDouble(tmp_path)
    async with await asyncio.start_server(double.answer, "127.0.0.1", 0) as server:
        double.port = server.sockets[0].getsockname()[1]
        yield double


def balancer_of(nginx: NginxDouble) -> NginxUpstreams:
    reached = Nginx(addresses=lambda: ["127.0.0.1"], reload=nginx.reload, internal_port=nginx.port)
    return NginxUpstreams(nginx.folder, reached, AccessLog(time.monotonic), time.monotonic)


@pytest.fixture
def balancer(nginx: NginxDouble) -> NginxUpstreams:
    return balancer_of(nginx)


async def test_a_list_is_in_force_when_its_generation_is_answered(nginx: NginxDouble, balancer: NginxUpstreams) -> None:
    generation = await balancer.set_members({"backend": [ONE, TWO]}, cause="ready")
    view = await balancer.view()
    assert (view.written, view.applied, view.problem) == (generation, generation, "")
    assert view.members == {"backend": (ONE, TWO)}
    assert nginx.in_force.lists == {"backend": (ONE, TWO)}
    assert [cause for _, cause in nginx.reloads] == ["ready"]
    assert (nginx.folder / "backend.servers").read_text().splitlines() == [
        "server 172.20.0.5:8000 weight=100 max_fails=1 fail_timeout=3s; # aaa",
        "server 172.20.0.6:8000 weight=5 max_fails=1 fail_timeout=3s; # bbb",
    ]


async def test_equals_are_chosen_by_their_connections_and_weights_are_shares_in_turn() -> None:
    equals = [ONE, Member(replica_id="ccc", address="172.20.0.7:8000")]
    assert nginx_files.server_lines(equals).splitlines()[0] == "least_conn;"
    assert "least_conn" not in nginx_files.server_lines([ONE, TWO])
    assert nginx_files.server_lines([]) == ""


async def test_other_services_keep_their_lists(balancer: NginxUpstreams) -> None:
    await balancer.set_members({"backend": [ONE]}, cause="ready")
    await balancer.set_members({"frontend": [TWO]}, cause="ready")
    assert (await balancer.view()).members == {"backend": (ONE,), "frontend": (TWO,)}


async def test_the_same_list_again_is_no_reload(nginx: NginxDouble, balancer: NginxUpstreams) -> None:
    first = await balancer.set_members({"backend": [ONE]}, cause="ready")
    await balancer.view()
    assert await balancer.set_members({"backend": [ONE]}, cause="ready") == first
    assert len(nginx.reloads) == 1


async def test_many_changes_at_once_are_few_reloads_apart_from_each_other(
    nginx: NginxDouble, balancer: NginxUpstreams
) -> None:
    changes = [balancer.set_members({f"service-{number}": [ONE]}, cause="ready") for number in range(20)]
    generations = await asyncio.gather(*changes)
    assert (await balancer.view()).applied == max(generations)
    assert len(nginx.in_force.lists) == 20
    times = [at for at, _ in nginx.reloads]
    assert len(times) <= 4
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(pause >= RELOAD_PAUSE_SECONDS * 0.99 for pause in pauses)


async def test_a_refused_file_is_told_and_tried_again(
    nginx: NginxDouble, balancer: NginxUpstreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supervisor.adapters.nginx_upstreams.PROOF_SECONDS", 60.0)
    good = await balancer.set_members({"backend": [ONE]}, cause="ready")
    await balancer.view()
    nginx.refuses_files = True
    bad = await balancer.set_members({"backend": [TWO]}, cause="rollout")
    assert (await balancer.view()).problem == "", "a reload takes a moment"
    monkeypatch.setattr("supervisor.adapters.nginx_upstreams.PROOF_SECONDS", 0.0)
    view = await balancer.view()
    assert (view.written, view.applied) == (bad, good)
    assert f"answers generation {good}, not {bad}" in view.problem
    assert view.members == {"backend": (ONE,)}, "the lists as NGINX has them, not as they are written"
    nginx.refuses_files = False
    await balancer.view()
    view = await balancer.view()
    assert (view.applied, view.problem, view.members) == (bad, "", {"backend": (TWO,)})


async def test_a_docker_that_is_away_is_an_error_and_the_reload_is_made_up_for(
    nginx: NginxDouble, balancer: NginxUpstreams, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supervisor.adapters.nginx_upstreams.PROOF_SECONDS", 0.0)
    nginx.is_unreachable = True
    with pytest.raises(Unavailable):
        await balancer.set_members({"backend": [ONE]}, cause="ready")
    assert (await balancer.view()).problem
    nginx.is_unreachable = False
    await balancer.view()
    assert (await balancer.view()).applied == (await balancer.view()).written


async def test_lists_outlive_the_supervisor(nginx: NginxDouble, balancer: NginxUpstreams) -> None:
    first = await balancer.set_members({"backend": [ONE, TWO], "frontend": []}, cause="ready")
    successor = balancer_of(nginx)
    view = await successor.view()
    assert (view.written, view.applied) == (first, first)
    assert view.members == {"backend": (ONE, TWO), "frontend": ()}


async def test_who_begins_to_act_writes_a_generation_of_its_own_once(
    nginx: NginxDouble, balancer: NginxUpstreams
) -> None:
    """The one before may have died after a list and before its generation."""
    first = await balancer.set_members({"backend": [ONE]}, cause="ready")
    (nginx.folder / "backend.servers").write_text(nginx_files.server_lines([TWO]))
    successor = balancer_of(nginx)
    await successor.set_members({}, cause="start")
    assert (await successor.view()).applied == first + 1
    assert nginx.in_force.lists == {"backend": (TWO,)}
    await successor.set_members({}, cause="start")
    assert len(nginx.reloads) == 2


async def test_who_stands_by_reloads_nothing(nginx: NginxDouble, balancer: NginxUpstreams) -> None:
    await balancer.set_members({"backend": [ONE]}, cause="ready")
    nginx.in_force = Written(generation=0)
    standby = balancer_of(nginx)
    assert (await standby.view()).problem
    assert len(nginx.reloads) == 1


async def test_a_restarted_nginx_reads_what_is_written(nginx: NginxDouble, balancer: NginxUpstreams) -> None:
    generation = await balancer.set_members({"backend": [ONE]}, cause="ready")
    nginx.in_force = nginx_files.read(nginx.folder)  # what a start does
    view = await balancer.view()
    assert (view.applied, view.problem) == (generation, "")


async def test_nginx_being_away_is_a_fact_and_not_an_exception(nginx: NginxDouble) -> None:
    gone = Nginx(addresses=list, reload=nginx.reload)
    view = await NginxUpstreams(nginx.folder, gone, AccessLog(time.monotonic), time.monotonic).view()
    assert (view.applied, view.problem) == (None, "NGINX does not answer on its internal port")


async def test_an_address_that_hangs_does_not_hide_the_one_that_answers(nginx: NginxDouble) -> None:
    # 192.0.2.1 is nobody's: packets to it are dropped or refused, but never answered.
    reached = Nginx(addresses=lambda: ["192.0.2.1", "127.0.0.1"], reload=nginx.reload, internal_port=nginx.port)
    balancer = NginxUpstreams(nginx.folder, reached, AccessLog(time.monotonic), time.monotonic)
    began = time.monotonic()
    assert (await balancer.view()).applied == 0
    await balancer.view()
    assert time.monotonic() - began < 2


async def test_nginx_is_told_where_to_report(nginx: NginxDouble, balancer: NginxUpstreams) -> None:
    await balancer.set_members({"backend": [ONE]}, cause="ready")
    told = (nginx.folder / "access_log.conf").read_text()
    assert told == "access_log syslog:server=127.0.0.1:8514,nohostname,tag=a attempts if=$has_attempts;\n"


async def test_an_address_of_another_replica_begins_to_count_at_zero(nginx: NginxDouble) -> None:
    log = AccessLog(time.monotonic)
    reached = Nginx(addresses=lambda: ["127.0.0.1"], reload=nginx.reload, internal_port=nginx.port)
    balancer = NginxUpstreams(nginx.folder, reached, log, time.monotonic)
    await balancer.set_members({"backend": [ONE]}, cause="ready")
    log.count(b"<190>Nov 21 13:00:00 a: backend|172.20.0.5:8000|500|0.001|+|GET|500", time.monotonic())
    await balancer.set_members({"backend": []}, cause="drain")
    await balancer.set_members({"backend": [ONE]}, cause="ready")
    assert balancer.traffic(time.monotonic())[ONE.address].requests == 1, "the same replica goes on"
    await balancer.set_members({"backend": [Member(replica_id="ccc", address=ONE.address)]}, cause="ready")
    assert ONE.address not in balancer.traffic(time.monotonic())


@pytest.mark.parametrize(
    "member",
    [
        Member(replica_id="a", address="evil; include /etc/passwd"),
        Member(replica_id="a", address="172.20.0.5"),
        Member(replica_id="a", address="172.20.0.5:0"),
        Member(replica_id="a", address="backend:8000"),
        Member(replica_id="a", address="172.20.0.5:8000", weight=0),
        Member(replica_id="a\nserver 1.2.3.4:80;", address="172.20.0.5:8000"),
    ],
)
async def test_what_nginx_would_refuse_is_never_written(
    nginx: NginxDouble, balancer: NginxUpstreams, member: Member
) -> None:
    with pytest.raises(ValueError, match=r".+"):
        await balancer.set_members({"backend": [member]}, cause="ready")
    with pytest.raises(ValueError, match="twice"):
        await balancer.set_members({"backend": [ONE, ONE]}, cause="ready")
    with pytest.raises(ValueError, match="no name"):
        await balancer.set_members({"../backend": [ONE]}, cause="ready")
    assert not list(nginx.folder.iterdir())


async def test_a_folder_that_cannot_be_written_is_an_error_and_then_made_up_for(
    nginx: NginxDouble, balancer: NginxUpstreams
) -> None:
    await balancer.set_members({"backend": [ONE]}, cause="ready")
    obstacle = nginx.folder / ".generation.conf.new"
    obstacle.mkdir()
    with pytest.raises(Unavailable, match="cannot be written"):
        await balancer.set_members({"backend": [TWO]}, cause="ready")
    with contextlib.suppress(OSError):
        obstacle.rmdir()
    generation = await balancer.set_members({"backend": [TWO]}, cause="ready")
    assert nginx.in_force.generation == generation
    assert nginx.in_force.lists == {"backend": (TWO,)}
