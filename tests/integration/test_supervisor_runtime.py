"""What the supervisor relies on in a container runtime, in sentences. Each holds for the small Docker of the component
tests, for a real engine, and for the engine behind its gate; what only Compose can judge is asked of Compose."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from supervisor.adapters.docker_client import DockerClient
from supervisor.adapters.docker_clone import CLONE_LABEL
from supervisor.domain.snapshot import ContainerState, ReportedHealth, UsageView
from supervisor.ports import Refused, Unavailable
from tests.integration.supervisor_grounds import (
    NEW_IMAGE,
    OLD_IMAGE,
    PROJECT,
    SOCKET,
    DockerGround,
    FakeGround,
    Ground,
    eventually,
    is_running,
    scratch_images,
    web,
)

FLOOD = 400
CAUSE = "c1-web-start below_min: 2 of 3 run"


@dataclass(frozen=True, slots=True)
class Gate:
    """A guard of the scratch project, as it runs in its container."""

    socket_path: str


@pytest.fixture(scope="module")
def engine_folder(docker_client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The Compose project's folder; its images exist while the tests run, and nothing of it afterwards."""
    folder = tmp_path_factory.mktemp("citizens")
    ground = DockerGround(folder, SOCKET)
    ground.clear()
    with scratch_images():
        yield folder
        ground.compose("down", "-v", "-t", "0")
        ground.clear()
    ground.close()


@pytest.fixture(scope="module")
def gate(engine_folder: Path) -> Iterator[Gate]:
    path = engine_folder / "guard.sock"
    environment = {
        "PATH": os.environ["PATH"],
        "PROJECT": PROJECT,
        "DOCKER_SOCKET": SOCKET,
        "GUARD_SOCKET": str(path),
        "GUARD_READ_SOCKET": str(engine_folder / "read.sock"),
    }
    with (
        (engine_folder / "guard.log").open("w") as log,
        subprocess.Popen([sys.executable, "-m", "docker_guard"], env=environment, stdout=log, stderr=log) as process,
    ):
        deadline = time.monotonic() + 10
        while not path.exists() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.05)
        assert path.exists(), (engine_folder / "guard.log").read_text()
        yield Gate(str(path))
        process.terminate()
        process.wait(timeout=10)


@pytest.fixture
def engine(engine_folder: Path) -> Iterator[DockerGround]:
    """The project freshly up, on the engine itself."""
    yield from _up(engine_folder, SOCKET)


@pytest.fixture(params=["fake", "engine", "gate"])
def ground(request: pytest.FixtureRequest) -> Iterator[Ground]:
    if request.param == "fake":
        yield FakeGround()
    else:
        folder = request.getfixturevalue("engine_folder")
        socket_path = SOCKET if request.param == "engine" else request.getfixturevalue("gate").socket_path
        yield from _up(folder, socket_path)


def _up(folder: Path, socket_path: str) -> Iterator[DockerGround]:
    ground = DockerGround(folder, socket_path)
    try:
        ground.renew()
        yield ground
    finally:
        ground.close()


# -- what is seen ------------------------------------------------------------------------------------------------------


async def test_a_service_is_seen_with_its_replicas_in_order(ground: Ground) -> None:
    services = await ground.runtime.services()
    service = services["web"]
    assert set(services) == {"web", "store"}
    assert service.depends_on == ("store",)
    assert service.labels == {"supervisor.scale.max": "5"}
    assert [(r.name, r.number) for r in service.replicas] == [(f"{PROJECT}-web-1", 1), (f"{PROJECT}-web-2", 2)]
    for replica in service.replicas:
        assert replica.state is ContainerState.RUNNING
        assert replica.service == "web"
        assert replica.image == OLD_IMAGE
        assert replica.image_id == (await ground.runtime.image(OLD_IMAGE)).id
        assert len(replica.addresses) == 2
        assert replica.restart_policy == "unless-stopped"
        assert replica.restart_count == 0
        assert replica.started_at is not None
        assert not replica.is_clone
    assert len({r.config_hash for r in service.replicas}) == 1


async def test_usage_is_known_after_a_while(ground: Ground) -> None:
    replicas = await web(ground)
    usage: dict[str, UsageView] = {}
    for _ in range(60):
        usage = dict(await ground.runtime.usage(replicas))
        if len(usage) == 2 and all(view.cpu_ratio is not None for view in usage.values()):
            break
        await ground.pass_time(0.1)
    for view in usage.values():
        assert view.cpu_ratio is not None
        assert 0 <= view.cpu_ratio < 1.5
        assert 0 < view.memory_ratio < 1
        assert view.memory_bytes > 0
    assert set(usage) == {r.id for r in replicas}


async def test_an_image_that_is_not_there_is_refused(ground: Ground) -> None:
    with pytest.raises(Refused):
        await ground.runtime.image("modporter/mp-it-citizens:none")


async def test_what_a_replica_wrote_is_read(ground: Ground) -> None:
    replica = (await web(ground))[0]
    assert (await ground.runtime.log_tail(replica.id, 5)).strip()


async def test_an_event_is_a_reason_to_look(ground: Ground) -> None:
    events = ground.runtime.events()
    first = asyncio.create_task(anext(events))
    await asyncio.sleep(0.3)  # until it listens
    ground.stop((await web(ground))[0])
    heard = {await asyncio.wait_for(first, 5)}
    while "web" not in heard:
        heard.add(await asyncio.wait_for(anext(events), 5))
    assert heard <= {"web", ""}


async def test_an_engine_that_is_away_is_unavailable(ground: Ground) -> None:
    ground.lose_engine()
    with pytest.raises(Unavailable):
        await ground.runtime.services()


# -- what is done ------------------------------------------------------------------------------------------------------


async def test_a_started_replica_is_one_more_of_its_service(ground: Ground) -> None:
    sibling = (await web(ground))[0]
    new_id = await ground.runtime.start_replica(sibling.id, number=3, image="", cause=CAUSE)
    replicas = await eventually(ground, lambda all_: len(all_) == 3 and is_running(all_[2]))
    new = replicas[2]
    assert (new.id, new.name, new.number, new.is_clone) == (new_id, f"{PROJECT}-web-3", 3, True)
    assert (new.image, new.image_id) == (sibling.image, sibling.image_id)
    assert new.config_hash == sibling.config_hash
    assert set(new.addresses) == set(sibling.addresses)
    assert not set(new.addresses.values()) & set(sibling.addresses.values())


async def test_starting_the_same_replica_twice_is_starting_it_once(ground: Ground) -> None:
    sibling = (await web(ground))[0]
    first = await ground.runtime.start_replica(sibling.id, number=3, image="", cause=CAUSE)
    again = await ground.runtime.start_replica(sibling.id, number=3, image="", cause=CAUSE)
    assert first == again
    assert len(await web(ground)) == 3


async def test_a_replica_of_another_image_stands_beside_the_old_ones(ground: Ground) -> None:
    sibling = (await web(ground))[0]
    await ground.runtime.start_replica(sibling.id, number=3, image=NEW_IMAGE, cause=CAUSE)
    new = (await web(ground))[2]
    assert new.image == NEW_IMAGE
    assert new.image_id == (await ground.runtime.image(NEW_IMAGE)).id != sibling.image_id


async def test_a_replica_like_one_that_is_gone_is_refused(ground: Ground) -> None:
    sibling = (await web(ground))[0]
    ground.vanish(sibling)
    with pytest.raises(Refused):
        await ground.runtime.start_replica(sibling.id, number=3, image="", cause=CAUSE)


async def test_a_replica_of_an_image_that_is_not_there_is_refused_and_leaves_nothing(ground: Ground) -> None:
    sibling = (await web(ground))[0]
    with pytest.raises(Refused):
        await ground.runtime.start_replica(sibling.id, number=3, image="modporter/mp-it-citizens:none", cause=CAUSE)
    assert len(await web(ground)) == 2


async def test_a_replica_asked_to_leave_does_and_is_not_restarted(ground: Ground) -> None:
    leaving = (await web(ground))[1]
    await ground.runtime.signal(leaving.id, "TERM", cause=CAUSE)
    replicas = await eventually(ground, lambda all_: all_[1].state is ContainerState.EXITED)
    assert replicas[1].exit_code == 0
    assert replicas[1].finished_at is not None
    assert replicas[1].addresses == {}
    await ground.pass_time(1.5)
    assert (await web(ground))[1].state is ContainerState.EXITED


async def test_a_replica_killed_over_the_engine_is_not_restarted(ground: Ground) -> None:
    killed = (await web(ground))[1]
    await ground.runtime.signal(killed.id, "KILL", cause=CAUSE)
    replicas = await eventually(ground, lambda all_: all_[1].state is ContainerState.EXITED)
    assert replicas[1].exit_code == 137
    await ground.pass_time(1.5)
    assert (await web(ground))[1].state is ContainerState.EXITED


async def test_a_replica_that_exited_is_started_again(ground: Ground) -> None:
    replica = (await web(ground))[1]
    await ground.runtime.signal(replica.id, "TERM", cause=CAUSE)
    await eventually(ground, lambda all_: all_[1].state is ContainerState.EXITED)
    await ground.runtime.start_stopped(replica.id, cause=CAUSE)
    again = (await eventually(ground, lambda all_: is_running(all_[1])))[1]
    assert again.id == replica.id
    assert again.started_at != replica.started_at
    assert again.restart_count == 0


async def test_a_replica_that_exited_is_removed_and_once_is_enough(ground: Ground) -> None:
    replica = (await web(ground))[1]
    await ground.runtime.signal(replica.id, "KILL", cause=CAUSE)
    await eventually(ground, lambda all_: all_[1].state is ContainerState.EXITED)
    await ground.runtime.remove(replica.id, cause=CAUSE)
    assert [r.number for r in await web(ground)] == [1]
    await ground.runtime.remove(replica.id, cause=CAUSE)


async def test_a_replica_that_runs_is_not_removed(ground: Ground) -> None:
    replica = (await web(ground))[1]
    with pytest.raises(Refused):
        await ground.runtime.remove(replica.id, cause=CAUSE)
    assert is_running((await web(ground))[1])


async def test_a_replica_that_exited_takes_no_signal(ground: Ground) -> None:
    replica = (await web(ground))[1]
    ground.stop(replica)
    with pytest.raises(Refused):
        await ground.runtime.signal(replica.id, "TERM", cause=CAUSE)


async def test_a_replica_that_is_gone_takes_neither_signal_nor_start(ground: Ground) -> None:
    replica = (await web(ground))[1]
    ground.vanish(replica)
    with pytest.raises(Refused):
        await ground.runtime.signal(replica.id, "TERM", cause=CAUSE)
    with pytest.raises(Refused):
        await ground.runtime.start_stopped(replica.id, cause=CAUSE)


async def test_a_crash_is_restarted_by_the_daemon_and_seen_as_a_restart(ground: Ground) -> None:
    before = (await web(ground))[1]
    ground.crash(before)
    after = (await eventually(ground, lambda all_: is_running(all_[1]) and all_[1].restart_count == 1))[1]
    assert after.id == before.id
    assert after.started_at != before.started_at


async def test_a_person_s_stop_is_not_a_crash(ground: Ground) -> None:
    replica = (await web(ground))[1]
    ground.stop(replica)
    await eventually(ground, lambda all_: all_[1].state is ContainerState.EXITED)
    await ground.pass_time(1.5)
    assert (await web(ground))[1].state is ContainerState.EXITED


async def test_a_tag_points_to_another_image(ground: Ground) -> None:
    new, old = await ground.runtime.image(NEW_IMAGE), await ground.runtime.image(OLD_IMAGE)
    await ground.runtime.tag_image(new.id, OLD_IMAGE, cause=CAUSE)
    assert (await ground.runtime.image(OLD_IMAGE)).id == new.id
    # A replica like its sibling is of the sibling's image, wherever the tag went since.
    sibling = (await web(ground))[0]
    try:
        await ground.runtime.start_replica(sibling.id, number=3, image="", cause=CAUSE)
        assert (await web(ground))[2].image_id == old.id
    finally:
        await ground.runtime.tag_image(old.id, OLD_IMAGE, cause=CAUSE)


# -- what Compose says of it -------------------------------------------------------------------------------------------


async def test_a_clone_is_a_citizen_of_the_compose_project(engine: DockerGround) -> None:
    sibling = (await web(engine))[0]
    await engine.runtime.start_replica(sibling.id, number=3, image="", cause=CAUSE)
    dry_run = engine.compose("up", "-d", "--dry-run", "--scale", "web=3")
    assert "recreate" not in dry_run.lower()
    assert "creat" not in dry_run.lower()
    assert "remov" not in dry_run.lower()
    assert f"{PROJECT}-web-3" in engine.compose("ps", "--format", "{{.Name}}").split()
    ids = {container["Id"] for container in engine.containers()}
    engine.compose("up", "-d", "--scale", "web=3", "--no-recreate")
    assert {container["Id"] for container in engine.containers()} == ids
    engine.compose("up", "-d", "--scale", "web=2", "-t", "0")
    assert [r.number for r in await web(engine)] == [1, 2]


async def test_down_leaves_nothing_of_a_clone(engine: DockerGround) -> None:
    sibling = (await web(engine))[0]
    await engine.runtime.start_replica(sibling.id, number=3, image="", cause=CAUSE)
    engine.compose("down", "-v", "-t", "0")
    filters = {"label": f"com.docker.compose.project={PROJECT}"}
    assert engine.containers() == []
    assert engine.engine.networks(filters=filters) == []
    assert engine.engine.volumes(filters=filters)["Volumes"] in ([], None)


async def test_after_a_rollout_and_its_tag_compose_finds_nothing_to_do(engine: DockerGround) -> None:
    old = await engine.runtime.image(OLD_IMAGE)
    new = await engine.runtime.image(NEW_IMAGE)
    try:
        for number, replica in enumerate(await web(engine), start=3):
            await engine.runtime.start_replica(replica.id, number=number, image=NEW_IMAGE, cause=CAUSE)
            await engine.runtime.signal(replica.id, "KILL", cause=CAUSE)
            await asyncio.sleep(0.5)
            await engine.runtime.remove(replica.id, cause=CAUSE)
        await engine.runtime.tag_image(new.id, OLD_IMAGE, cause=CAUSE)
        dry_run = engine.compose("up", "-d", "--dry-run").lower()
        assert "creat" not in dry_run
        assert "remov" not in dry_run
    finally:
        await engine.runtime.tag_image(old.id, OLD_IMAGE, cause=CAUSE)


async def test_a_clone_has_what_its_sibling_has_and_nothing_that_is_the_sibling_s_own(engine: DockerGround) -> None:
    sibling_id = (await web(engine))[0].id
    clone_id = await engine.runtime.start_replica(sibling_id, number=3, image="", cause=CAUSE)
    sibling, clone = (engine.engine.inspect_container(i) for i in (sibling_id, clone_id))
    assert clone["Config"]["Hostname"] == clone_id[:12]
    assert sorted(clone["Config"]["Env"]) == sorted(sibling["Config"]["Env"])
    for key in ("NanoCpus", "Memory", "RestartPolicy", "Tmpfs", "NetworkMode"):
        assert clone["HostConfig"][key] == sibling["HostConfig"][key]
    mounts = {m["Destination"]: m.get("Name") for m in sibling["Mounts"]}
    own = {m["Destination"]: m.get("Name") for m in clone["Mounts"]}
    assert own["/shared"] == mounts["/shared"]
    assert own["/own"] != mounts["/own"]
    for network in clone["NetworkSettings"]["Networks"].values():
        assert "web" in network["Aliases"]
        assert f"{PROJECT}-web-3" in network["Aliases"]
        assert not {f"{PROJECT}-web-1", sibling_id[:12]} & set(network["Aliases"])
    assert clone["Config"]["Labels"][CLONE_LABEL] == CAUSE


async def test_another_image_brings_its_own_environment_and_keeps_the_service_s(engine: DockerGround) -> None:
    sibling = (await web(engine))[0]
    clone_id = await engine.runtime.start_replica(sibling.id, number=3, image=NEW_IMAGE, cause=CAUSE)
    config = engine.engine.inspect_container(clone_id)["Config"]
    assert {"FLAVOUR=new", "COLOUR=green"} <= set(config["Env"])
    assert config["Labels"]["flavour"] == "new"


async def test_a_name_that_something_else_has_taken_is_refused(engine: DockerGround) -> None:
    sibling = (await web(engine))[0]
    other = engine.engine.create_container(OLD_IMAGE, ["true"], name=f"{PROJECT}-web-3")["Id"]
    try:
        with pytest.raises(Refused, match="taken by a container that the supervisor did not make"):
            await engine.runtime.start_replica(sibling.id, number=3, image="", cause=CAUSE)
    finally:
        engine.engine.remove_container(other)


async def test_containers_of_compose_run_and_of_other_projects_are_not_seen(engine: DockerGround) -> None:
    engine.compose("run", "-d", "job")
    services = await engine.runtime.services()
    assert set(services) == {"web", "store"}


async def test_a_look_at_what_did_not_change_is_one_call(engine: DockerGround, monkeypatch: pytest.MonkeyPatch) -> None:
    inspected: list[str] = []
    inspect = DockerClient.inspect_container

    def noted(client: DockerClient, container_id: str) -> object:
        inspected.append(container_id)
        return inspect(client, container_id)

    monkeypatch.setattr(DockerClient, "inspect_container", noted)
    await eventually(engine, lambda all_: all(r.health is ReportedHealth.HEALTHY for r in all_))
    assert inspected
    inspected.clear()
    replicas = await web(engine)
    assert inspected == []
    engine.stop(replicas[0])
    assert (await web(engine))[0].exit_code is not None
    assert inspected == [replicas[0].id]


async def test_after_a_flood_of_events_what_is_seen_is_what_is_there(engine: DockerGround) -> None:
    """More events than the daemon keeps for a listener, and then one that matters."""
    heard = []

    async def listen() -> None:
        async for name in engine.runtime.events():
            heard.append(name)

    listening = asyncio.create_task(listen())
    services = await engine.runtime.services()
    replica, noisy = services["web"].replicas[0], services["store"].replicas[0]

    def flood() -> None:
        for _ in range(FLOOD):
            engine.engine.kill(noisy.id, signal="WINCH")  # nobody minds it
        engine.crash(replica)

    await asyncio.wait_for(asyncio.to_thread(flood), 60)
    seen = await eventually(engine, lambda all_: is_running(all_[0]) and all_[0].started_at != replica.started_at, 5)
    truth = {c["Id"]: c["State"] for c in engine.containers() if c["Labels"]["com.docker.compose.service"] == "web"}
    assert {r.id: r.state.value for r in seen} == truth
    assert 0 < heard.count("store") <= FLOOD  # coalesced, never queued
    listening.cancel()
