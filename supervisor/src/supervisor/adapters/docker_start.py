"""Makes a clone real: create, connect, start; and finds what it is made of. Called by docker_runtime, in a thread.

A create call that timed out may have happened. Names say what a container is, so a name that is taken by the very
container that was wanted is adopted, and the call can be repeated.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from docker.errors import APIError, NotFound  # type: ignore[import-untyped]

from supervisor.adapters.docker_client import DockerClient, in_words
from supervisor.adapters.docker_clone import (
    CLONE_LABEL,
    NUMBER_LABEL,
    PROJECT_LABEL,
    SERVICE_LABEL,
    Clone,
    NewImage,
    NotClonable,
    clone,
)
from supervisor.adapters.docker_views import DEPENDS_LABEL, dependencies, network_parent
from supervisor.ports import Refused

SAME_LABELS = (PROJECT_LABEL, SERVICE_LABEL, NUMBER_LABEL)


def start_replica(client: DockerClient, template_id: str, *, number: int, image: str, cause: str) -> str:
    """The new container's id. Raises Refused, and what the SDK raises."""
    sibling = client.inspect_container(template_id)
    made_from = _image(client, sibling, image)
    parent = _network_parent(client, sibling)
    try:
        wanted = clone(sibling, number=number, image=made_from, cause=cause, parent_id=parent)
    except NotClonable as error:
        raise Refused(str(error)) from error
    return _create_and_start(client, wanted, made_from.id)


def _image(client: DockerClient, sibling: Mapping[str, Any], reference: str) -> NewImage:
    """Without a reference the sibling's own, even when its tag has moved on since."""
    own_reference, own_id = sibling["Config"]["Image"], sibling["Image"]
    if not reference:
        try:
            is_current = client.inspect_image(own_reference)["Id"] == own_id
        except NotFound:
            is_current = False
        return NewImage(reference=own_reference if is_current else own_id, id=own_id)
    image_id = client.inspect_image(reference)["Id"]
    if image_id == own_id:
        return NewImage(reference=reference, id=image_id)
    try:
        replaced = client.inspect_image(own_id)["Config"]
    except NotFound:  # deleted by force: nothing tells what came from it, so all stays as it was
        replaced = {}
    return NewImage(reference=reference, id=image_id, replaced=replaced)


def _network_parent(client: DockerClient, sibling: Mapping[str, Any]) -> str:
    """When the container whose network the sibling shares is gone: the one that took its place. Else nothing."""
    lost = network_parent(str(sibling["HostConfig"].get("NetworkMode", "")))
    if not lost:
        return ""
    try:
        client.inspect_container(lost)
        return ""
    except NotFound:
        pass
    labels = sibling["Config"]["Labels"]
    found = []
    for service in dependencies(labels.get(DEPENDS_LABEL, "")):
        wanted = [f"{PROJECT_LABEL}={labels[PROJECT_LABEL]}", f"{SERVICE_LABEL}={service}"]
        found += client.containers(filters={"label": wanted})
    if len(found) != 1:
        raise Refused(
            f"the container whose network {labels[SERVICE_LABEL]} shares is gone, "
            f"and {len(found)} containers could have taken its place"
        )
    return str(found[0]["Id"])


def _create_and_start(client: DockerClient, wanted: Clone, image_id: str) -> str:
    is_new, connected = True, set(wanted.body.get("NetworkingConfig", {}).get("EndpointsConfig", {}))
    try:
        container_id = str(client.create_container_from_config(wanted.body, wanted.name)["Id"])
    except APIError as error:
        if error.status_code != 409:
            raise
        is_new = False
        found = client.inspect_container(wanted.name)
        _check_is_the_one(found, wanted, image_id)
        container_id, connected = found["Id"], set(found["NetworkSettings"]["Networks"])
    try:
        for network, endpoint in wanted.networks.items():
            if network not in connected:
                _connect(client, container_id, network, endpoint)
        client.start(container_id)
    except APIError as error:
        if is_new:  # a container that cannot start would take the name and the number
            client.remove_container(container_id, v=True)
        raise in_words(error) from error
    return container_id


def _connect(client: DockerClient, container_id: str, network: str, endpoint: Mapping[str, Any]) -> None:
    client.connect_container_to_network(
        container_id,
        network,
        aliases=endpoint.get("Aliases"),
        links=endpoint.get("Links"),
        driver_opt=endpoint.get("DriverOpts"),
    )


def _check_is_the_one(found: Mapping[str, Any], wanted: Clone, image_id: str) -> None:
    labels, own = found["Config"]["Labels"] or {}, wanted.body["Labels"]
    if any(labels.get(label) != own[label] for label in SAME_LABELS) or CLONE_LABEL not in labels:
        raise Refused(f"the name {wanted.name} is taken by a container that the supervisor did not make")
    if found["Image"] != image_id:
        raise Refused(f"the name {wanted.name} is taken by a replica of another image")
