"""A create goes through when it equals what runs already. Every other one is refused, and what Docker gets is ours."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.fixtures.docker_guard_fakes import (
    DB_1,
    FOREIGN,
    FOREIGN_IMAGE,
    IMAGE,
    NEW_IMAGE,
    WEB_1,
    WEB_2,
    FakeDocker,
    Guard,
    clone_of,
)

CREATE = "/v1.41/containers/create?name=shop-web-3"
Body = dict[str, Any]
Change = Callable[[Body], object]


def test_what_reaches_docker_is_written_from_the_template(docker: FakeDocker, guard: Guard, body: Body) -> None:
    status, answer = guard.ask("POST", CREATE, body)
    assert (status, answer["Id"]) == (201, "9" * 64)
    created, template = docker.created(), docker.containers[WEB_1]
    assert created["Labels"] == {
        **template["Config"]["Labels"],
        "com.docker.compose.container-number": "3",
        "supervisor.clone": "a-1",
    }
    assert sorted(created["Env"]) == sorted(template["Config"]["Env"])
    without_nothing = {key: value for key, value in template["HostConfig"].items() if value is not None}
    created["HostConfig"]["Mounts"].sort(key=lambda mount: str(mount["Target"]))
    without_nothing["Mounts"].sort(key=lambda mount: str(mount["Target"]))
    assert created["HostConfig"] == without_nothing
    assert created["NetworkingConfig"] == {"EndpointsConfig": {"shop_back": {"Aliases": ["shop-web-3", "web"]}}}
    assert "Hostname" not in created


def test_falsy_values_of_the_sdk_are_dropped(docker: FakeDocker, guard: Guard, body: Body) -> None:
    body.update({"NetworkDisabled": False, "MacAddress": None, "Unknown": ""})
    body["HostConfig"].update({"StorageOpt": {}, "Annotations": None, "privileged": False})
    assert guard.ask("POST", CREATE, body)[0] == 201
    created = docker.created()
    assert not {"NetworkDisabled", "MacAddress", "Unknown"} & created.keys()
    assert not {"StorageOpt", "Annotations", "privileged"} & created["HostConfig"].keys()


def test_another_image_of_the_repository_brings_its_own_defaults(docker: FakeDocker, guard: Guard, body: Body) -> None:
    of_image = docker.images[0]["Config"]
    body["Image"] = "shop/web:v2"
    body["Env"] = [entry for entry in body["Env"] if entry not in of_image["Env"]]
    body["Labels"]["com.docker.compose.image"] = NEW_IMAGE
    for left_out in ("org.example.inputs",):
        del body["Labels"][left_out]
    del body["User"], body["WorkingDir"]
    assert guard.ask("POST", CREATE, body)[0] == 201
    created = docker.created()
    assert created["Image"] == "shop/web:v2"
    assert set(created["Env"]) == {"A=b", "PASS=secret", "PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1"}
    assert created["User"] == "10001:10001"  # whatever the new image says
    assert created["Cmd"] == ["sleep", "900"]  # Compose's, not the image's
    assert "org.example.inputs" not in created["Labels"]
    assert "WorkingDir" not in created


@pytest.mark.parametrize("image", [IMAGE, "shop/web:shop", "shop/web:v1"])
def test_the_same_image_by_other_names(docker: FakeDocker, guard: Guard, body: Body, image: str) -> None:
    body["Image"] = image
    assert guard.ask("POST", CREATE, body)[0] == 201
    assert docker.created()["Image"] == image


def test_a_generated_volume_is_replaced_by_a_new_one(docker: FakeDocker, guard: Guard) -> None:
    """Compose pins it when it makes a container anew; a clone that mounted it would share it."""
    for web in (docker.containers[WEB_1], docker.containers[WEB_2]):
        [mount] = [one for one in web["HostConfig"]["Mounts"] if one["Target"] == "/var/tmp2"]
        mount["Source"] = web["Id"]
        web["HostConfig"]["Binds"].append(f"{web['Id']}:/cache:rw")
    body = clone_of(docker.containers[WEB_1], 3)
    for mount in body["HostConfig"]["Mounts"]:
        if mount["Target"] == "/var/tmp2":
            del mount["Source"]
    body["HostConfig"]["Binds"][-1] = "/cache"
    assert guard.ask("POST", CREATE, body)[0] == 201
    created = docker.created()["HostConfig"]
    assert WEB_1 not in json.dumps(created)
    assert created["Binds"] == ["/srv/shop/site.conf:/c.yml:ro", "/cache"]
    assert {"Type": "volume", "Target": "/var/tmp2", "VolumeOptions": {}} in created["Mounts"]


def test_a_shared_network_may_be_that_of_the_container_which_took_its_place(docker: FakeDocker, guard: Guard) -> None:
    web = docker.containers[WEB_1]
    web["HostConfig"]["NetworkMode"] = "container:" + "7" * 64  # gone
    web["Config"]["Labels"]["com.docker.compose.depends_on"] = "db:service_started:true"
    del docker.containers[WEB_2]
    body = clone_of(web, 3)
    body["NetworkingConfig"] = {}
    for parent, status in ((DB_1, 201), (FOREIGN, 403), ("8" * 64, 403), ("host", 403)):
        body["HostConfig"]["NetworkMode"] = f"container:{parent}"
        assert guard.ask("POST", CREATE, body)[0] == status


def _host(key: str, value: Any) -> tuple[str, Change]:
    return f"HostConfig.{key}", lambda body: body["HostConfig"].update({key: value})


def _config(key: str, value: Any) -> tuple[str, Change]:
    return key, lambda body: body.update({key: value})


def _label(key: str, value: Any) -> tuple[str, Change]:
    return f"label {key}", lambda body: body["Labels"].update({key: value})


def _endpoint(key: str, value: Any) -> tuple[str, Change]:
    return (
        f"endpoint {key}",
        lambda body: body["NetworkingConfig"]["EndpointsConfig"]["shop_back"].update({key: value}),
    )


def _endpoints(value: Any) -> tuple[str, Change]:
    return f"endpoints {value}", lambda body: body["NetworkingConfig"].update({"EndpointsConfig": value})


PROPAGATED = {"Propagation": "shared"}
BOUND_TO_THE_HOST = {"Name": "local", "Options": {"type": "none", "o": "bind", "device": "/"}}
HOSTILE: list[tuple[str, Change]] = [
    # privileges
    _host("Privileged", True),
    _host("Privileged", 1),
    _host("Privileged", "true"),
    _host("privileged", True),
    _host("PRIVILEGED", True),
    _host("CapAdd", ["SYS_ADMIN"]),
    _host("CapAdd", ["ALL"]),
    _host("CapDrop", []),
    _host("CapDrop", None),
    _host("CapDrop", ["NET_RAW"]),
    _host("Capabilities", ["CAP_SYS_ADMIN"]),
    _host("SecurityOpt", []),
    _host("SecurityOpt", ["no-new-privileges:true", "seccomp=unconfined"]),
    _host("SecurityOpt", ["no-new-privileges:false"]),
    _host("SecurityOpt", ["label=disable"]),
    _host("MaskedPaths", []),
    _host("MaskedPaths", None),
    _host("ReadonlyPaths", []),
    _host("ReadonlyRootfs", False),
    _host("GroupAdd", ["0"]),
    _host("GroupAdd", ["docker"]),
    _host("UsernsMode", "host"),
    _host("Runtime", "io.containerd.evil"),
    _host("Sysctls", {"kernel.core_pattern": "|/x"}),
    _host("Sysctls", {"net.ipv4.ip_unprivileged_port_start": "0", "kernel.shmmax": ""}),
    _host("OomScoreAdj", -1000),
    _host("OomKillDisable", True),
    _host("Annotations", {"a": "b"}),
    # the host's files
    _host("Binds", ["/:/host"]),
    _host("Binds", ["/srv/shop/site.conf:/c.yml:ro", "/var/run/docker.sock:/var/run/docker.sock"]),
    _host("Binds", ["/srv/shop/site.conf:/c.yml:rw"]),
    _host("Binds", ["/srv/shop/site.conf:/c.yml"]),
    _host("Binds", ["/c.yml"]),
    _host("Binds", []),
    _host("Mounts", [{"Type": "bind", "Source": "/", "Target": "/host"}]),
    _host("Mounts", []),
    _host("Mounts", "x"),
    _host("Mounts", [None]),
    ("more mounts", lambda body: body["HostConfig"]["Mounts"].append({"Type": "bind", "Source": "/", "Target": "/x"})),
    ("a mount twice", lambda body: body["HostConfig"]["Mounts"].append(body["HostConfig"]["Mounts"][0])),
    ("a writable secret", lambda body: _mount(body, "/run/secrets/s1").update({"ReadOnly": False})),
    ("another file", lambda body: _mount(body, "/run/secrets/s1").update({"Source": "/etc/shadow"})),
    ("a propagated mount", lambda body: _mount(body, "/run/secrets/s1").update({"BindOptions": PROPAGATED})),
    ("a bind for a volume", lambda body: _mount(body, "/data").update({"Type": "bind", "Source": "/"})),
    ("another volume", lambda body: _mount(body, "/data").update({"Source": "bank_data"})),
    ("a volume of the host", lambda body: _mount(body, "/data").update(
        {"VolumeOptions": {"DriverConfig": BOUND_TO_THE_HOST}}
    )),
    ("a mount elsewhere", lambda body: _mount(body, "/data").update({"Target": "/etc"})),
    ("a mount's key in capitals", lambda body: _mount(body, "/data").update({"SOURCE": "/"})),
    _host("VolumesFrom", ["bank-web-1"]),
    _host("VolumeDriver", "evil"),
    _host("Tmpfs", {"/tmp": "exec"}),
    _host("Tmpfs", {"/tmp": "mode=1777,size=16m", "/run": ""}),
    _host("StorageOpt", {"size": "1T"}),
    _host("ContainerIDFile", "/etc/cron.d/x"),
    _config("Volumes", {"/evil": {}}),
    # the host's namespaces and devices
    _host("PidMode", "host"),
    _host("PidMode", "container:bank-web-1"),
    _host("IpcMode", "host"),
    _host("IpcMode", "shareable"),
    _host("UTSMode", "host"),
    _host("NetworkMode", "host"),
    _host("NetworkMode", "container:" + FOREIGN),
    _host("NetworkMode", "container:" + DB_1),
    _host("NetworkMode", "bank_front"),
    _host("CgroupnsMode", "private"),
    _host("Cgroup", "container:bank-web-1"),
    _host("CgroupParent", "/"),
    _host("Devices", [{"PathOnHost": "/dev/sda", "PathInContainer": "/dev/sda", "CgroupPermissions": "rwm"}]),
    _host("DeviceRequests", [{"Count": -1, "Capabilities": [["gpu"]]}]),
    _host("DeviceCgroupRules", ["a *:* rwm"]),
    # the network
    _host("PortBindings", {"22/tcp": [{"HostPort": "22"}]}),
    _host("PublishAllPorts", True),
    _host("ExtraHosts", ["nginx:1.2.3.4"]),
    _host("Dns", ["1.2.3.4"]),
    _host("DnsSearch", ["evil"]),
    _host("DnsOptions", ["x"]),
    _host("Links", ["bank-web-1:db"]),
    _endpoints({"bank_front": {}}),
    _endpoints({"shop_front": {}}),
    _endpoints({"shop_back": {}, "shop_front": {}}),
    _endpoints({"SHOP_BACK": {}}),
    _endpoints([]),
    _endpoints({"shop_back": []}),
    ("NetworkingConfig more", lambda body: body["NetworkingConfig"].update({"endpointsconfig": {"host": {}}})),
    ("NetworkingConfig text", lambda body: body.update({"NetworkingConfig": "x"})),
    _endpoint("Aliases", ["db"]),
    _endpoint("Aliases", ["web", "postgres"]),
    _endpoint("Aliases", ["shop-web-1"]),
    _endpoint("Aliases", ["a" * 12]),
    _endpoint("Aliases", ["web", "web"]),
    _endpoint("Aliases", "web"),
    _endpoint("Aliases", [1]),
    _endpoint("aliases", ["db"]),
    _endpoint("IPAMConfig", {"IPv4Address": "172.22.0.99"}),
    _endpoint("MacAddress", "02:42:ac:16:00:03"),
    _endpoint("IPAddress", "172.22.0.3"),
    _endpoint("NetworkID", "x"),
    _endpoint("Links", ["bank-web-1"]),
    _endpoint("DriverOpts", {"a": "b"}),
    _endpoint("GwPriority", 1),
    # what runs
    _config("Image", "bank/web:bank"),
    _config("Image", FOREIGN_IMAGE),
    _config("Image", "shop/web:v3"),
    _config("Image", "shop/db:shop"),
    _config("Image", "shop/web"),
    _config("Image", "shop/web@sha256:" + "1" * 64),
    _config("Image", "evil.example/shop/web:shop"),
    _config("Image", "shop/web:shop/../../bank"),
    _config("Image", ""),
    _config("Image", None),
    _config("Image", ["shop/web:shop"]),
    _config("Image", "shop/web:v2"),  # while the label names the old image
    _config("image", "bank/web:bank"),
    _config("Cmd", ["sh", "-c", "id"]),
    _config("Cmd", "sh"),
    _config("Cmd", None),
    _config("Entrypoint", ["/bin/sh"]),
    _config("Env", ["A=b", "PASS=secret", "LD_PRELOAD=/x"]),
    _config("Env", []),
    ("another value", lambda body: body["Env"].append("A=c")),
    _config("User", "0:0"),
    _config("User", "root"),
    _config("WorkingDir", "/etc"),
    _config("Tty", True),
    _config("OpenStdin", True),
    _config("AttachStdin", True),
    _config("Domainname", "evil"),
    _config("Hostname", "a" * 12),
    _config("Hostname", "shop-web-3"),
    _config("MacAddress", "02:42:ac:16:00:03"),
    _config("Healthcheck", {"Test": ["CMD", "sh"]}),
    _config("Healthcheck", None),
    _config("StopSignal", "SIGKILL"),
    _config("StopTimeout", 0),
    _config("Shell", ["sh"]),
    _config("OnBuild", ["RUN x"]),
    _config("ExposedPorts", {"22/tcp": {}}),
    _config("NetworkDisabled", True),
    _config("Unknown", 1),
    _config("HostConfig", None),
    _config("HostConfig", "x"),
    _config("HostConfig", []),
    _config("hostconfig", {"Privileged": True}),
    _config("Hostconfig", {"Privileged": True}),
    _config("Ho\u017ftConfig", {"Privileged": True}),  # a long s, which Docker's parser takes for an s
    # how much of it
    _host("Memory", 0),
    _host("Memory", 67108865),
    _host("Memory", 67108864.0),
    _host("MemorySwap", -1),
    _host("NanoCpus", 0),
    _host("NanoCpus", 10**12),
    _host("CpuShares", 10**6),
    _host("CpuRealtimeRuntime", 1),
    _host("PidsLimit", None),
    _host("PidsLimit", -1),
    _host("Ulimits", [{"Name": "nofile", "Hard": 10**6, "Soft": 10**6}]),
    _host("ShmSize", 10**12),
    _host("RestartPolicy", {"Name": "no", "MaximumRetryCount": 0}),
    _host("AutoRemove", True),
    _host("LogConfig", {"Type": "syslog", "Config": {"syslog-address": "tcp://1.2.3.4"}}),
    _host("LogConfig", {"Type": "none", "Config": {}}),
    _host("Init", True),
    _host("Isolation", "hyperv"),
    # who it says it is
    _label("com.docker.compose.project", "bank"),
    _label("com.docker.compose.service", "db"),
    _label("com.docker.compose.service", "docker-guard"),
    _label("com.docker.compose.service", "supervisor"),
    _label("com.docker.compose.service", "nothing"),
    _label("com.docker.compose.service", ["web"]),
    _label("com.docker.compose.oneoff", "True"),
    _label("com.docker.compose.config-hash", "0" * 64),
    _label("com.docker.compose.container-number", "4"),
    _label("com.docker.compose.container-number", 3),
    _label("com.docker.compose.image", NEW_IMAGE),
    _label("com.docker.compose.version", "9"),
    _label("com.docker.compose.depends_on", "db:service_started:true"),
    _label("com.docker.compose.project.working_dir", "/"),
    _label("supervisor.enable", "false"),
    _label("supervisor.scale.max", "1000"),
    _label("supervisor.clone", ""),
    _label("supervisor.clone", "x" * 501),
    _label("supervisor.clone", "a\nb"),
    _label("traefik.enable", "true"),
    ("no mark of a clone", lambda body: body["Labels"].pop("supervisor.clone")),
    ("no label of the policy", lambda body: body["Labels"].pop("supervisor.enable")),
    ("no project", lambda body: body["Labels"].pop("com.docker.compose.project")),
    ("no service", lambda body: body["Labels"].pop("com.docker.compose.service")),
    ("no number", lambda body: body["Labels"].pop("com.docker.compose.container-number")),
    ("no config-hash", lambda body: body["Labels"].pop("com.docker.compose.config-hash")),
    _config("Labels", None),
    _config("Labels", []),
]  # fmt: skip


def _mount(body: Body, target: str) -> dict[str, Any]:
    [mount] = [one for one in body["HostConfig"]["Mounts"] if one["Target"] == target]
    return mount


@pytest.mark.parametrize("change", [pytest.param(change, id=f"{n}-{name}") for n, (name, change) in enumerate(HOSTILE)])
def test_a_hostile_body_never_reaches_docker(docker: FakeDocker, guard: Guard, body: Body, change: Change) -> None:
    change(body)
    status, answer = guard.ask("POST", CREATE, body)
    assert status in {400, 403, 404}, answer
    assert set(answer) == {"message"}
    assert docker.changes() == []


@pytest.mark.parametrize(
    "name",
    [
        "web",
        "shop-web-",
        "shop-web-0",
        "shop-web-03",
        "shop-web-4",
        "shop-web-10000",
        "shop-web-3x",
        "shop-web-3%0a",
        "shop-db-3",
        "bank-web-3",
        "Shop-web-3",
        "shop_web_3",
        "x-shop-web-3",
    ],
)
def test_no_other_name(docker: FakeDocker, guard: Guard, body: Body, name: str) -> None:
    assert guard.ask("POST", f"/v1.41/containers/create?name={name}", body)[0] in {400, 403}
    assert docker.changes() == []


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Privileged", True),
        ("PidMode", "host"),
        ("NetworkMode", "host"),
        ("IpcMode", "host"),
        ("UTSMode", "host"),
        ("UsernsMode", "host"),
        ("Devices", [{"PathOnHost": "/dev/sda"}]),
        ("DeviceRequests", [{"Count": -1}]),
        ("DeviceCgroupRules", ["a *:* rwm"]),
    ],
)
def test_what_reaches_the_host_is_not_cloned_even_if_it_runs(
    docker: FakeDocker, guard: Guard, key: str, value: Any
) -> None:
    for web in (docker.containers[WEB_1], docker.containers[WEB_2]):
        web["HostConfig"][key] = value
    body = clone_of(docker.containers[WEB_1], 3)
    body["NetworkingConfig"] = {}
    status, answer = guard.ask("POST", CREATE, body)
    assert status == 403
    assert "never cloned" in answer["message"]
    assert docker.changes() == []


@pytest.mark.parametrize("source", ["/", "/var/run/docker.sock", "/run/user/1000/docker.sock"])
def test_a_holder_of_the_keys_is_not_cloned(docker: FakeDocker, guard: Guard, source: str) -> None:
    for web in (docker.containers[WEB_1], docker.containers[WEB_2]):
        web["Mounts"].append({"Type": "bind", "Source": source, "Destination": "/x"})
    status, answer = guard.ask("POST", CREATE, clone_of(docker.containers[WEB_1], 3))
    assert (status, docker.changes()) == (403, [])
    assert "never cloned" in answer["message"]


def test_a_fixed_address_is_not_cloned(docker: FakeDocker, guard: Guard) -> None:
    for web in (docker.containers[WEB_1], docker.containers[WEB_2]):
        web["NetworkSettings"]["Networks"]["shop_back"]["IPAMConfig"] = {"IPv4Address": "172.22.0.9"}
    assert guard.ask("POST", CREATE, clone_of(docker.containers[WEB_1], 3))[0] == 403
    assert docker.changes() == []


def test_without_a_running_replica_there_is_no_template(docker: FakeDocker, guard: Guard, body: Body) -> None:
    del docker.containers[WEB_1], docker.containers[WEB_2]
    status, answer = guard.ask("POST", CREATE, body)
    assert status == 403
    assert docker.changes() == []
    assert "docker-guard: " in answer["message"]


def test_nothing_is_left_to_an_image_that_is_gone(docker: FakeDocker, guard: Guard, body: Body) -> None:
    body["Image"], body["Labels"]["com.docker.compose.image"] = "shop/web:v2", NEW_IMAGE
    del docker.images[0]  # by force: the replicas still run
    assert guard.ask("POST", CREATE, body)[0] == 201
    docker.seen.clear()
    del body["WorkingDir"]
    assert guard.ask("POST", CREATE, body)[0] == 403
    assert docker.changes() == []


def test_a_one_off_is_no_template(docker: FakeDocker, guard: Guard) -> None:
    docker.containers[WEB_1]["HostConfig"]["Privileged"] = docker.containers[WEB_2]["HostConfig"]["Privileged"] = True
    body = clone_of(docker.containers[WEB_1], 3)
    body["HostConfig"]["Privileged"] = False
    assert guard.ask("POST", CREATE, body)[0] == 403
    assert docker.changes() == []


def test_a_service_has_no_end_of_replicas(docker: FakeDocker, guard: Guard, body: Body) -> None:
    for number in range(3, 252):
        more = copy.deepcopy(docker.containers[WEB_1])
        more["Id"] = f"{number:064x}"
        docker.containers[more["Id"]] = more
    status, answer = guard.ask("POST", CREATE, body)
    assert (status, docker.changes()) == (403, [])
    assert "has 252 containers already" in answer["message"]


@pytest.mark.parametrize("network", ["shop_front", "network-id"])
def test_connect_adds_a_network_of_the_service(docker: FakeDocker, guard: Guard, network: str) -> None:
    network_id = docker.containers[WEB_1]["NetworkSettings"]["Networks"]["shop_front"]["NetworkID"]
    reference = network_id if network == "network-id" else network
    wanted = {"Container": "shop-web-2", "EndpointConfig": {"Aliases": ["shop-web-2", "web", "webby"], "Links": None}}
    assert guard.ask("POST", f"/v1.41/networks/{reference}/connect", wanted)[0] == 204
    [seen] = docker.changes()
    assert seen.target == f"/v1.41/networks/{network_id}/connect"
    endpoint = {"Aliases": ["shop-web-2", "web", "webby"]}
    assert json.loads(seen.body) == {"Container": WEB_2, "EndpointConfig": endpoint}


@pytest.mark.parametrize(
    ("network", "wanted"),
    [
        ("bank_front", {"Container": WEB_2}),
        ("host", {"Container": WEB_2}),
        ("bridge", {"Container": WEB_2}),
        ("shop_front", {"Container": FOREIGN}),
        ("shop_front", {"Container": "bank-web-1"}),
        ("shop_front", {"Container": "shop-docker-guard-1"}),
        ("shop_front", {"Container": DB_1}),
        ("shop_front", {"Container": "../x"}),
        ("shop_front", {"Container": [WEB_2]}),
        ("shop_front", {"container": WEB_2}),
        ("shop_front", {"Container": WEB_2, "container": WEB_1}),
        ("shop_front", {"Container": WEB_2, "EndpointConfig": []}),
        ("shop_front", {"Container": WEB_2, "EndpointConfig": "x"}),
        ("shop_front", {"Container": WEB_2, "endpointconfig": {}}),
        ("shop_front", {"Container": WEB_2, "EndpointConfig": {"Aliases": ["db"]}}),
        ("shop_front", {"Container": WEB_2, "EndpointConfig": {"IPAMConfig": {"IPv4Address": "172.20.0.9"}}}),
        ("shop_front", {"Container": WEB_2, "EndpointConfig": {"MacAddress": "02:42:ac:14:00:03"}}),
        ("shop_front", {"Container": WEB_2, "EndpointConfig": {"DriverOpts": {"a": "b"}}}),
    ],
)
def test_a_hostile_connect_never_reaches_docker(
    docker: FakeDocker, guard: Guard, network: str, wanted: dict[str, Any]
) -> None:
    assert guard.ask("POST", f"/v1.41/networks/{network}/connect", wanted)[0] in {400, 403, 404}
    assert docker.changes() == []
