"""docker-guard in front of a real Docker: the SDK works through it, within one Compose project and nowhere else.

Containers are made as Compose makes them, by their labels. Docker itself is asked what came of it.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.models.containers import Container

from supervisor.adapters.docker_client import DockerClient
from supervisor.adapters.docker_start import start_replica

PROJECT, OTHER = "mp-it-guard", "mp-it-guard-other"
IMAGE, NEW_IMAGE = f"{PROJECT}/web:{PROJECT}", f"{PROJECT}/web:v2"
ENGINE_SOCKET = "/var/run/docker.sock"
GUARD_IMAGE = "modporter/docker-guard:local"
COMPOSE = "com.docker.compose."


@dataclass(frozen=True)
class Ground:
    """A guarded project: a network and two replicas of web. `engine` goes past the guard, as a person does."""

    engine: docker.DockerClient
    full: Path
    read: Path

    def sdk(self, path: Path | None = None, version: str = "1.41") -> docker.APIClient:
        return docker.APIClient(base_url=f"unix://{path or self.full}", version=version, timeout=20)

    def everything(self) -> dict[str, str]:
        """All containers of this machine's scratch projects and what they are doing."""
        found = self.engine.containers.list(all=True, filters={"name": PROJECT})
        return {str(one.name): str(one.status) for one in found}


def start(engine: docker.DockerClient, project: str, service: str, number: int, **options: Any) -> Container:
    labels = {
        f"{COMPOSE}project": project,
        f"{COMPOSE}service": service,
        f"{COMPOSE}container-number": str(number),
        f"{COMPOSE}oneoff": "False",
        f"{COMPOSE}config-hash": "1" * 64,
        f"{COMPOSE}image": engine.images.get(IMAGE).id,
        f"{COMPOSE}depends_on": "",
    }
    network, name = f"{project}_front", f"{project}-{service}-{number}"
    return engine.containers.run(
        IMAGE,
        ["sh", "-c", "echo ready; exec sleep 600"],
        name=name,
        detach=True,
        labels=labels,
        environment={"TOKEN": "a-secret"},
        network=network,
        networking_config={network: engine.api.create_endpoint_config(aliases=[name, service])},
        user="10001:10001",
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges:true"],
        tmpfs={"/tmp": "mode=1777,size=16m"},
        mem_limit="32m",
        pids_limit=32,
        stop_signal="SIGKILL",
        **options,
    )


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    try:
        client = docker.from_env()
        client.images.get("modporter/base:local")
    except (DockerException, ImageNotFound) as error:
        if os.environ.get("REQUIRE_DOCKER") == "1":
            raise
        pytest.skip(f"no Docker engine with the project's images: {error}")
    clear(client)
    base = client.images.get("modporter/base:local")
    base.tag(f"{PROJECT}/web", PROJECT)
    dockerfile = b"FROM modporter/base:local\nENV NEW=1\nLABEL new=yes\nUSER 0\n"
    client.images.build(fileobj=io.BytesIO(dockerfile), tag=NEW_IMAGE)
    for project in (PROJECT, OTHER):
        client.networks.create(f"{project}_front")
        client.networks.create(f"{project}_back", internal=True)
    for number in (1, 2):
        container = start(client, PROJECT, "web", number)
        client.networks.get(f"{PROJECT}_back").connect(container, aliases=["web"])
    start(client, OTHER, "web", 1)
    yield client
    clear(client)
    client.close()


def clear(client: docker.DockerClient) -> None:
    for container in client.containers.list(all=True, filters={"name": PROJECT}):
        with contextlib.suppress(NotFound):
            container.remove(force=True, v=True)
    for network in client.networks.list(names=[PROJECT]):
        network.remove()
    for volume in client.volumes.list(filters={"name": PROJECT}):
        volume.remove()
    for image in client.images.list(name=f"{PROJECT}/web"):
        for tag in image.tags:
            if tag.startswith(f"{PROJECT}/web"):
                client.images.remove(tag)


@pytest.fixture(scope="module")
def guard(engine: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    folder = tmp_path_factory.mktemp("g")
    environment = {
        "PATH": os.environ["PATH"],
        "PROJECT": PROJECT,
        "DOCKER_SOCKET": ENGINE_SOCKET,
        "GUARD_SOCKET": str(folder / "full.sock"),
        "GUARD_READ_SOCKET": str(folder / "read.sock"),
    }
    command = [sys.executable, "-m", "docker_guard"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "listening" in process.stdout.readline()
        yield Ground(engine, folder / "full.sock", folder / "read.sock")
        process.terminate()
        assert process.wait(timeout=20) == 0


@pytest.fixture
def ground(guard: Ground) -> Iterator[Ground]:
    """Two replicas here, one in the other project; a clone that a test made goes with the test."""
    yield guard
    with contextlib.suppress(NotFound):
        guard.engine.containers.get(f"{PROJECT}-web-3").remove(force=True, v=True)


@pytest.mark.parametrize("listener", ["full", "read"])
def test_the_sdk_reads_the_project_and_nothing_else(ground: Ground, listener: str) -> None:
    sdk = ground.sdk(getattr(ground, listener), version="auto")
    assert sdk.ping()
    listed = sdk.containers(all=True, filters={"status": "running"})
    assert sorted(one["Names"][0] for one in listed) == [f"/{PROJECT}-web-1", f"/{PROJECT}-web-2"]
    web_id = listed[0]["Id"]
    assert sdk.inspect_container(web_id)["State"]["Running"] is True
    assert sdk.stats(web_id, stream=False, one_shot=True)["memory_stats"]["usage"] > 0
    with pytest.raises(NotFound, match="No such container"):
        sdk.inspect_container(f"{OTHER}-web-1")
    with pytest.raises(NotFound, match="No such container"):
        sdk.stats(ground.engine.containers.get(f"{OTHER}-web-1").id, stream=False, one_shot=True)
    sdk.close()


def test_readers_do_not_see_secrets_in_the_environment(ground: Ground) -> None:
    for path, is_there in ((ground.full, True), (ground.read, False)):
        sdk = ground.sdk(path)
        assert ("a-secret" in json.dumps(sdk.inspect_container(f"{PROJECT}-web-1"))) is is_there
        sdk.close()


def test_logs_are_read_in_the_sdks_own_format(ground: Ground) -> None:
    sdk = ground.sdk()
    eventually(lambda: sdk.logs(f"{PROJECT}-web-1", tail=10) == b"ready\n")
    sdk.close()


def test_events_are_the_projects_own(ground: Ground) -> None:
    sdk = ground.sdk(ground.read)
    stream = sdk.events(decode=True, filters={"type": "container"})
    seen: list[str] = []
    reader = threading.Thread(target=lambda: seen.extend(event["Actor"]["Attributes"]["name"] for event in stream))
    reader.start()
    for name in (f"{OTHER}-web-1", f"{PROJECT}-web-1", f"{OTHER}-web-1", f"{PROJECT}-web-2"):
        ground.engine.containers.get(name).kill("SIGHUP")
    eventually(lambda: f"{PROJECT}-web-2" in seen)
    stream.close()
    reader.join(10)
    sdk.close()
    assert set(seen) == {f"{PROJECT}-web-1", f"{PROJECT}-web-2"}


def test_the_supervisors_clone_is_made_started_signalled_and_removed(ground: Ground) -> None:
    client = DockerClient(str(ground.full), 20)
    client.caused_by("a test")
    web_1 = client.inspect_container(f"{PROJECT}-web-1")
    clone_id = start_replica(client, web_1["Id"], number=3, image="", cause="a test")
    clone = ground.engine.containers.get(clone_id).attrs
    assert clone["Name"] == f"/{PROJECT}-web-3"
    for key in (
        "CapDrop",
        "SecurityOpt",
        "ReadonlyRootfs",
        "Memory",
        "PidsLimit",
        "Tmpfs",
        "NetworkMode",
        "MaskedPaths",
    ):
        assert clone["HostConfig"][key] == web_1["HostConfig"][key]
    assert clone["Config"]["Env"] == web_1["Config"]["Env"]
    networks = clone["NetworkSettings"]["Networks"]
    assert set(networks) == {f"{PROJECT}_front", f"{PROJECT}_back"}
    assert "web" in networks[f"{PROJECT}_back"]["Aliases"]
    with pytest.raises(APIError, match="running"):
        client.remove_container(clone_id, v=True)
    client.kill(clone_id, "TERM")
    client.kill(clone_id, "KILL")
    eventually(lambda: client.inspect_container(clone_id)["State"]["Status"] == "exited")
    client.start(clone_id)
    client.stop(clone_id, timeout=1)
    client.remove_container(clone_id, v=True)
    with pytest.raises(NotFound):
        client.inspect_container(clone_id)
    client.close()


def test_a_rollout_takes_another_image_but_not_its_user(ground: Ground) -> None:
    client = DockerClient(str(ground.full), 20)
    web_1 = client.inspect_container(f"{PROJECT}-web-1")
    clone = client.inspect_container(start_replica(client, web_1["Id"], number=3, image=NEW_IMAGE, cause="a test"))
    assert clone["Image"] == client.inspect_image(NEW_IMAGE)["Id"]
    assert clone["Config"]["User"] == "10001:10001"  # the image says root
    assert "NEW=1" in clone["Config"]["Env"]
    assert clone["Config"]["Labels"]["new"] == "yes"
    assert client.tag(clone["Image"], f"{PROJECT}/web", f"{PROJECT}-previous")
    assert f"{PROJECT}/web:{PROJECT}-previous" in client.inspect_image(clone["Image"])["RepoTags"]
    with pytest.raises(APIError, match="own tags"):
        client.tag(clone["Image"], f"{PROJECT}/web", "v1")
    client.close()


def _host(key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda body: body["HostConfig"].update({key: value})


HOSTILE: dict[str, Callable[[dict[str, Any]], None]] = {
    "privileged": _host("Privileged", True),
    "privileged in small letters": lambda body: body.update({"hostconfig": {"Privileged": True}}),
    "host's files": _host("Binds", ["/:/host"]),
    "Docker's socket": _host("Binds", ["/var/run/docker.sock:/var/run/docker.sock"]),
    "another kind of mount": _host("Mounts", [{"Type": "bind", "Source": "/", "Target": "/host"}]),
    "host's processes": _host("PidMode", "host"),
    "host's network": _host("NetworkMode", "host"),
    "another project's network": _host("NetworkMode", f"container:{OTHER}-web-1"),
    "another project's volumes": _host("VolumesFrom", [f"{OTHER}-web-1"]),
    "capabilities": _host("CapAdd", ["SYS_ADMIN"]),
    "kept capabilities": _host("CapDrop", None),
    "no seccomp": _host("SecurityOpt", ["seccomp=unconfined"]),
    "devices": _host(
        "Devices", [{"PathOnHost": "/dev/kmsg", "PathInContainer": "/dev/kmsg", "CgroupPermissions": "r"}]
    ),
    "more memory": _host("Memory", 0),
    "a port of the host": _host("PortBindings", {"80/tcp": [{"HostPort": "18111"}]}),
    "unmasked paths": _host("MaskedPaths", []),
    "a writable image": _host("ReadonlyRootfs", False),
    "root": lambda body: body.update({"User": "0:0"}),
    "another command": lambda body: body.update({"Cmd": ["sh", "-c", "id > /proof"]}),
    "another entry point": lambda body: body.update({"Entrypoint": ["/bin/sh"]}),
    "another environment": lambda body: body["Env"].append("LD_PRELOAD=/x"),
    "another project's image": lambda body: body.update({"Image": "modporter/base:local"}),
    "another project": lambda body: body["Labels"].update({f"{COMPOSE}project": OTHER}),
    "another service": lambda body: body["Labels"].update({f"{COMPOSE}service": "db"}),
    "another network": lambda body: body.update({"NetworkingConfig": {"EndpointsConfig": {f"{OTHER}_front": {}}}}),
    "another name in DNS": lambda body: body["NetworkingConfig"]["EndpointsConfig"][f"{PROJECT}_front"].update(
        {"Aliases": ["postgres"]}
    ),
}


def test_every_hostile_body_is_refused(ground: Ground) -> None:
    sdk, before = ground.sdk(), ground.everything()
    web_1 = sdk.inspect_container(f"{PROJECT}-web-1")
    config = {key: value for key, value in web_1["Config"].items() if key != "Hostname"}
    config["Labels"] = {**config["Labels"], f"{COMPOSE}container-number": "3", "supervisor.clone": "a test"}
    endpoints = {f"{PROJECT}_front": {"Aliases": ["web"]}}
    good = {**config, "HostConfig": web_1["HostConfig"], "NetworkingConfig": {"EndpointsConfig": endpoints}}
    for name, change in HOSTILE.items():
        body = copy.deepcopy(good)
        change(body)
        with pytest.raises(APIError) as refusal:
            sdk.create_container_from_config(body, f"{PROJECT}-web-3")
        assert refusal.value.status_code in {400, 403, 404}, name
        assert ground.everything() == before, name
    created = sdk.create_container_from_config(good, f"{PROJECT}-web-3")["Id"]  # so it was the change that was refused
    sdk.remove_container(created, v=True)
    sdk.close()


def test_what_is_not_on_the_list_is_refused(ground: Ground) -> None:
    sdk, before = ground.sdk(), ground.everything()
    web, other = f"{PROJECT}-web-1", f"{OTHER}-web-1"
    attempts: list[Callable[[], object]] = [
        lambda: sdk.exec_create(web, ["id"]),
        lambda: sdk.get_archive(web, "/etc"),
        lambda: sdk.put_archive(web, "/tmp", b"x"),
        lambda: sdk.commit(web),
        lambda: next(sdk.export(web)),
        lambda: sdk.attach(web),
        lambda: sdk.rename(web, "x"),
        lambda: sdk.update_container(web, mem_limit="1g"),
        lambda: sdk.remove_container(web, force=True),
        lambda: sdk.stop(other),
        lambda: sdk.kill(other, "KILL"),
        lambda: sdk.start(other),
        lambda: sdk.remove_container(other),
        lambda: sdk.logs(other, tail=1),
        lambda: sdk.inspect_image("modporter/base:local"),
        lambda: sdk.tag(IMAGE, "modporter/base", "local"),
        lambda: sdk.connect_container_to_network(web, f"{OTHER}_front"),
        lambda: sdk.disconnect_container_from_network(web, f"{PROJECT}_front"),
        lambda: list(sdk.build(fileobj=io.BytesIO(b"FROM modporter/base:local"), rm=True)),
        lambda: sdk.images(),
        lambda: sdk.remove_image(NEW_IMAGE),
        lambda: sdk.volumes(),
        lambda: sdk.create_volume("x"),
        lambda: sdk.networks(),
        lambda: sdk.create_network("x"),
        lambda: sdk.plugins(),
        lambda: sdk.init_swarm(),
        lambda: sdk.create_secret("x", b"x"),
        lambda: sdk.prune_containers(),
        lambda: sdk.info(),
        lambda: sdk.df(),
    ]
    for number, attempt in enumerate(attempts):
        with pytest.raises(APIError) as refusal:
            attempt()
        assert refusal.value.status_code in {400, 403, 404, 413}, number
    assert ground.everything() == before
    sdk.close()


def test_paths_that_docker_would_understand_are_refused(ground: Ground) -> None:
    """Docker's router cleans paths and ignores case of JSON keys; the guard must not be led past itself by that."""
    name = f"{OTHER}-web-1"
    for path in (
        f"/v1.41//containers/{name}/json",
        f"/v1.41/containers/../containers/{name}/json",
        f"/v1.41/containers/./{name}/json",
        f"/v1.41/%63ontainers/{name}/json",
        f"/v1.41/containers/{name}%2Fjson",
        f"/containers/{name}/json",
        f"/v1.41/containers/{PROJECT}-web-1/../{name}/json",
    ):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(ground.full))
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: docker\r\n\r\n".encode())
            assert connection.recv(12) in {b"HTTP/1.1 400", b"HTTP/1.1 403"}, path


def test_the_image_guards_without_network_rights_or_root(ground: Ground, tmp_path: Path) -> None:
    """As the stack runs it."""
    try:
        ground.engine.images.get(GUARD_IMAGE)
    except ImageNotFound:
        if os.environ.get("REQUIRE_DOCKER") == "1":
            raise
        pytest.skip("the image of docker-guard is not built (make images)")
    container = ground.engine.containers.run(
        GUARD_IMAGE,
        name=f"{PROJECT}-itself",
        detach=True,
        environment={"PROJECT": PROJECT},
        network_mode="none",
        user="10001:10001",
        group_add=[str(Path(ENGINE_SOCKET).stat().st_gid)],
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges:true"],
        mem_limit="64m",
        volumes={
            ENGINE_SOCKET: {"bind": ENGINE_SOCKET},
            f"{PROJECT}-full": {"bind": "/run/docker-guard"},
            f"{PROJECT}-read": {"bind": "/run/docker-guard-read"},
        },
    )
    check = ["python", "-m", "docker_guard", "check"]
    eventually(lambda: container.exec_run(check).exit_code == 0)
    asked = container.exec_run(["python", "-c", ASK_INSIDE])
    assert asked.exit_code == 0, asked.output
    assert asked.output.startswith(b"HTTP/1.1 200 "), asked.output
    assert f"{PROJECT}-web-2".encode() in asked.output
    assert OTHER.encode() not in asked.output
    container.stop(timeout=10)
    container.reload()
    assert container.attrs["State"]["ExitCode"] == 0


ASK_INSIDE = """
import socket
connection = socket.socket(socket.AF_UNIX)
connection.connect("/run/docker-guard-read/guard.sock")
connection.sendall(b"GET /v1.41/containers/json HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
while piece := connection.recv(65536):
    print(piece.decode(), end="")
"""


def eventually(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)
