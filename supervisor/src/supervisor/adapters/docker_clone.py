"""What to ask Docker for, so that a replica becomes one more of its service: pure, from the inspection of a sibling.
Used by docker_runtime.

The clone must be a citizen of the Compose project: same labels (so the same config-hash), the next number, the
service's aliases. What belongs to the sibling alone is left out: its generated host name and MAC address, its
anonymous volumes. What two containers cannot share (a host port, a fixed address) is refused with a sentence.

Secrets and configurations that Compose mounts from files are mounts like any other. Those with inline content it
copies into the container, and Docker does not show them: a service that has such must not be cloned.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
NUMBER_LABEL = "com.docker.compose.container-number"
IMAGE_LABEL = "com.docker.compose.image"
REPLACES_LABEL = "com.docker.compose.replace"
CLONE_LABEL = "supervisor.clone"

_GENERATED_VOLUME = re.compile(r"[0-9a-f]{64}")
# What a container takes over from its image when the creator says nothing.
_FROM_IMAGE = ("Cmd", "Entrypoint", "WorkingDir", "User", "Healthcheck", "StopSignal", "OnBuild", "Shell")
_LISTED_FROM_IMAGE = ("ExposedPorts", "Volumes", "Labels")

Inspection = Mapping[str, Any]


class NotClonable(Exception):  # noqa: N818 - a fact about the sibling
    """A second container like this one cannot exist; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewImage:
    """The image that the clone is made from. `replaced`: the old image's Config, when it is another one."""

    reference: str
    id: str
    replaced: Inspection | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Clone:
    """`body` of the create call with the first network; the others are connected before the start, because engines
    before API 1.44 take only one."""

    name: str
    body: dict[str, Any]
    networks: Mapping[str, dict[str, Any]]


def clone(sibling: Inspection, *, number: int, image: NewImage, cause: str, parent_id: str = "") -> Clone:
    """`parent_id`: the container whose network namespace to join, when the sibling's has been replaced. Raises
    NotClonable."""
    labels = sibling["Config"]["Labels"]
    service, old_name = labels[SERVICE_LABEL], str(sibling["Name"]).lstrip("/")
    name = f"{labels[PROJECT_LABEL]}-{service}-{number}"
    host = _host_config(sibling, service, parent_id)
    config = _config(sibling, image)
    config["Labels"] = {
        **{key: value for key, value in config["Labels"].items() if key != REPLACES_LABEL},
        NUMBER_LABEL: str(number),
        IMAGE_LABEL: image.id,
        CLONE_LABEL: cause,
    }
    endpoints = _endpoints(sibling, service, old_name=old_name, name=name)
    first = host.get("NetworkMode", "")
    body = {**config, "HostConfig": host}
    if first in endpoints:
        body["NetworkingConfig"] = {"EndpointsConfig": {first: endpoints.pop(first)}}
    return Clone(name=name, body=body, networks=endpoints)


def _config(sibling: Inspection, image: NewImage) -> dict[str, Any]:
    config: dict[str, Any] = copy.deepcopy(dict(sibling["Config"]))
    if config.get("Hostname") == sibling["Id"][:12]:
        del config["Hostname"]
    config.pop("MacAddress", None)
    config["Image"] = image.reference
    if image.replaced is not None:
        _drop_image_defaults(config, image.replaced)
    return config


def _drop_image_defaults(config: dict[str, Any], image: Inspection) -> None:
    """The old image's command, environment and so on must not override the new image's."""
    for key in _FROM_IMAGE:
        if key in config and config[key] == image.get(key):
            del config[key]
    inherited = set(image.get("Env") or ())
    config["Env"] = [variable for variable in config.get("Env") or () if variable not in inherited]
    for key in _LISTED_FROM_IMAGE:
        defaults = image.get(key) or {}
        config[key] = {k: v for k, v in (config.get(key) or {}).items() if k not in defaults or defaults[k] != v}


def _host_config(sibling: Inspection, service: str, parent_id: str) -> dict[str, Any]:
    host: dict[str, Any] = copy.deepcopy(dict(sibling["HostConfig"]))
    for port, bindings in (host.get("PortBindings") or {}).items():
        for binding in bindings or ():
            taken = str(binding.get("HostPort") or "0")
            if taken != "0" and "-" not in taken:  # a range leaves room for more
                raise NotClonable(f"{service} publishes {port} on the host's port {taken}: only one replica can")
    if parent_id:
        host["NetworkMode"] = f"container:{parent_id}"
    host["Mounts"] = [_without_generated_name(mount) for mount in host.get("Mounts") or ()]
    host["Binds"] = [_without_generated_source(bind) for bind in host.get("Binds") or ()]
    return {key: value for key, value in host.items() if key != "ContainerIDFile"}


def _without_generated_name(mount: Mapping[str, Any]) -> dict[str, Any]:
    """An anonymous volume that Compose carried over by its generated name: the clone gets a new one."""
    if mount.get("Type") == "volume" and _GENERATED_VOLUME.fullmatch(str(mount.get("Source", ""))):
        return {key: value for key, value in mount.items() if key != "Source"}
    return dict(mount)


def _without_generated_source(bind: str) -> str:
    source, _, rest = bind.partition(":")
    return rest.split(":")[0] if rest and _GENERATED_VOLUME.fullmatch(source) else bind


def _endpoints(sibling: Inspection, service: str, *, old_name: str, name: str) -> dict[str, dict[str, Any]]:
    if str(sibling["HostConfig"].get("NetworkMode", "")).startswith("container:"):
        return {}
    endpoints = {}
    for network, settings in sibling["NetworkSettings"]["Networks"].items():
        fixed = settings.get("IPAMConfig") or {}
        if fixed.get("IPv4Address") or fixed.get("IPv6Address"):
            address = fixed.get("IPv4Address") or fixed.get("IPv6Address")
            raise NotClonable(f"{service} has the fixed address {address} on {network}: only one replica can")
        own = {sibling["Id"][:12]}
        aliases = [name if alias == old_name else alias for alias in settings.get("Aliases") or () if alias not in own]
        endpoint: dict[str, Any] = {"Aliases": list(dict.fromkeys(aliases))}
        for key in ("Links", "DriverOpts"):
            if settings.get(key):
                endpoint[key] = settings[key]
        endpoints[network] = endpoint
    return endpoints
