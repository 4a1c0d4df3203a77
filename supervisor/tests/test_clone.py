"""A clone is its sibling in everything that the service decides, and in nothing that is the sibling's own."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from supervisor.adapters.docker_clone import CLONE_LABEL, NewImage, NotClonable, clone

ID = "a1b2c3d4e5f6" + "0" * 52
VOLUME = "f" * 64
IMAGE = NewImage(reference="modporter/backend:modporter", id="sha256:one")
SIBLING: dict[str, Any] = {
    "Id": ID,
    "Name": "/modporter-backend-1",
    "Image": "sha256:one",
    "Config": {
        "Hostname": ID[:12],
        "MacAddress": "02:42:ac:11:00:02",
        "Image": "modporter/backend:modporter",
        "User": "10001:10001",
        "Cmd": ["serve"],
        "Env": ["PATH=/bin", "VERSION=1", "COLOUR=green"],
        "ExposedPorts": {"8000/tcp": {}},
        "Healthcheck": {"Test": ["CMD", "true"]},
        "Labels": {
            "com.docker.compose.project": "modporter",
            "com.docker.compose.service": "backend",
            "com.docker.compose.container-number": "1",
            "com.docker.compose.config-hash": "abc",
            "com.docker.compose.image": "sha256:one",
            "com.docker.compose.replace": "0123",
            "org.opencontainers.image.version": "1",
        },
    },
    "HostConfig": {
        "NetworkMode": "modporter_api",
        "NanoCpus": 10**9,
        "Binds": ["modporter_objects:/objects:rw", f"{VOLUME}:/scratch:rw"],
        "Mounts": [
            {"Type": "volume", "Source": VOLUME, "Target": "/cache"},
            {"Type": "bind", "Source": "/srv/secrets/key", "Target": "/run/secrets/key", "ReadOnly": True},
        ],
        "PortBindings": {},
    },
    "NetworkSettings": {
        "Networks": {
            "modporter_api": {"Aliases": ["modporter-backend-1", "backend", ID[:12]], "IPAMConfig": None},
            "modporter_data": {"Aliases": ["backend", "modporter-backend-1", ID[:12]], "IPAMConfig": {}},
        }
    },
}


def sibling(**host: Any) -> dict[str, Any]:
    made = copy.deepcopy(SIBLING)
    made["HostConfig"].update(host)
    return made


def test_a_clone_carries_the_labels_of_its_service_its_own_number_and_why_it_was_made() -> None:
    made = clone(SIBLING, number=4, image=IMAGE, cause="7-1 panic: load doubled")
    labels = made.body["Labels"]
    assert made.name == "modporter-backend-4"
    assert labels["com.docker.compose.config-hash"] == "abc"
    assert labels["com.docker.compose.container-number"] == "4"
    assert labels["com.docker.compose.image"] == "sha256:one"
    assert labels[CLONE_LABEL] == "7-1 panic: load doubled"
    assert "com.docker.compose.replace" not in labels


def test_what_docker_gave_the_sibling_is_left_out() -> None:
    body = clone(SIBLING, number=2, image=IMAGE, cause="c").body
    assert "Hostname" not in body
    assert "MacAddress" not in body


def test_a_host_name_that_the_service_chose_is_kept() -> None:
    chosen = sibling()
    chosen["Config"]["Hostname"] = "worker"
    assert clone(chosen, number=2, image=IMAGE, cause="c").body["Hostname"] == "worker"


def test_anonymous_volumes_are_new_and_named_ones_and_secrets_are_shared() -> None:
    host = clone(SIBLING, number=2, image=IMAGE, cause="c").body["HostConfig"]
    assert host["Mounts"] == [{"Type": "volume", "Target": "/cache"}, SIBLING["HostConfig"]["Mounts"][1]]
    assert host["Binds"] == ["modporter_objects:/objects:rw", "/scratch"]


def test_the_first_network_is_named_at_the_creation_and_the_others_are_connected() -> None:
    made = clone(SIBLING, number=2, image=IMAGE, cause="c")
    first = made.body["NetworkingConfig"]["EndpointsConfig"]
    assert first == {"modporter_api": {"Aliases": ["modporter-backend-2", "backend"]}}
    assert made.networks == {"modporter_data": {"Aliases": ["backend", "modporter-backend-2"]}}


def test_the_sibling_is_not_changed() -> None:
    before = copy.deepcopy(SIBLING)
    clone(SIBLING, number=2, image=NewImage(reference="r:2", id="sha256:two", replaced={}), cause="c")
    assert before == SIBLING


def test_another_image_brings_its_own_defaults_and_the_service_keeps_what_it_says_itself() -> None:
    old = {
        "Env": ["PATH=/bin", "VERSION=1"],
        "Cmd": ["serve"],
        "User": "",
        "Healthcheck": None,
        "ExposedPorts": {"8000/tcp": {}},
        "Labels": {"org.opencontainers.image.version": "1"},
    }
    new = NewImage(reference="modporter/backend:2", id="sha256:two", replaced=old)
    body = clone(SIBLING, number=2, image=new, cause="c").body
    assert body["Image"] == "modporter/backend:2"
    assert body["Env"] == ["COLOUR=green"]
    assert "Cmd" not in body
    assert body["User"] == "10001:10001"
    assert body["Healthcheck"] == {"Test": ["CMD", "true"]}
    assert body["ExposedPorts"] == {}
    assert "org.opencontainers.image.version" not in body["Labels"]
    assert body["Labels"]["com.docker.compose.image"] == "sha256:two"


def test_the_same_image_changes_nothing() -> None:
    body = clone(SIBLING, number=2, image=IMAGE, cause="c").body
    assert body["Env"] == SIBLING["Config"]["Env"]
    assert body["Cmd"] == ["serve"]


@pytest.mark.parametrize("port", ["443", "8443"])
def test_a_fixed_port_of_the_host_cannot_be_shared(port: str) -> None:
    taken = sibling(PortBindings={"443/tcp": [{"HostIp": "", "HostPort": port}]})
    with pytest.raises(NotClonable, match=f"backend publishes 443/tcp on the host's port {port}"):
        clone(taken, number=2, image=IMAGE, cause="c")


@pytest.mark.parametrize("port", ["", "0", "8000-8010"])
def test_a_port_that_docker_chooses_can(port: str) -> None:
    free = sibling(PortBindings={"8000/tcp": [{"HostIp": "", "HostPort": port}]})
    assert clone(free, number=2, image=IMAGE, cause="c").body["HostConfig"]["PortBindings"]


@pytest.mark.parametrize("key", ["IPv4Address", "IPv6Address"])
def test_a_fixed_address_cannot_be_shared(key: str) -> None:
    fixed = sibling()
    fixed["NetworkSettings"]["Networks"]["modporter_data"]["IPAMConfig"] = {key: "10.0.0.9"}
    with pytest.raises(NotClonable, match=r"fixed address 10\.0\.0\.9 on modporter_data"):
        clone(fixed, number=2, image=IMAGE, cause="c")


def test_who_shares_another_s_network_joins_its_successor_and_has_none_of_its_own() -> None:
    sharing = sibling(NetworkMode="container:old")
    made = clone(sharing, number=2, image=IMAGE, cause="c", parent_id="new")
    assert made.body["HostConfig"]["NetworkMode"] == "container:new"
    assert "NetworkingConfig" not in made.body
    assert made.networks == {}
