"""Compares the body of a create or a connect with a container that runs already. Pure; called by gate.py.

What comes back is written from the running container, not from the body: the client chooses among what is allowed (its
number, a name, an image, what it leaves to that image), and can put in no value of its own. Fields are not listed by
name, so that one that a newer Docker adds is compared like all others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from docker_guard.endpoints import networking_body
from docker_guard.equality import as_object, is_empty, require_equal, same, shown
from docker_guard.refusal import FORBIDDEN, Refusal

NUMBER_LABEL = "com.docker.compose.container-number"
IMAGE_LABEL = "com.docker.compose.image"
REPLACED_LABEL = "com.docker.compose.replace"  # Compose's note on a container that it made anew
CLONE_LABEL = "supervisor.clone"  # says who made it and why; Compose's own containers have none
MAX_CLONE_LABEL_CHARACTERS = 500

# An image brings these along: another image brings its own, so a clone may leave out what is the old image's.
OF_IMAGE = frozenset(
    {
        "ArgsEscaped",
        "Cmd",
        "Entrypoint",
        "Env",
        "ExposedPorts",
        "Healthcheck",
        "OnBuild",
        "Shell",
        "StopSignal",
        "Volumes",
        "WorkingDir",
    }
)
_ANONYMOUS_VOLUME = re.compile(r"[0-9a-f]{64}")
_HOST_NAMESPACES = ("PidMode", "IpcMode", "NetworkMode", "UTSMode", "UsernsMode")

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clone:
    """What a new container is to be. `image_config`: what the template's own image says, empty when it is gone."""

    name: str
    number: int
    image_id: str  # of the image that the body names
    template: Json  # a running container, as Docker's inspect tells it
    image_config: Json
    network_parents: frozenset[str] = frozenset()  # ids of containers whose network the service may share


def create_body(body: Json, clone: Clone) -> dict[str, Any]:
    """The body to forward. Raises Refusal with the first field that differs from the template."""
    _refuse_what_is_never_cloned(clone.template)
    wanted = {key: value for key, value in body.items() if key not in {"HostConfig", "NetworkingConfig"}}
    host = as_object(body.get("HostConfig"), "HostConfig")
    return {
        **_config(wanted, clone),
        "HostConfig": _host_config(host, clone),
        "NetworkingConfig": networking_body(
            as_object(body.get("NetworkingConfig"), "NetworkingConfig"), clone.name, clone.template
        ),
    }


def _refuse_what_is_never_cloned(template: Json) -> None:
    """Whoever runs privileged or in a namespace of the host is one of a kind, whatever the project says."""
    host = template["HostConfig"]
    if host.get("Privileged") or any(host.get(key) == "host" for key in _HOST_NAMESPACES):
        raise Refusal("a container that is privileged or in a namespace of the host is never cloned", FORBIDDEN)
    if not all(is_empty(host.get(key)) for key in ("Devices", "DeviceRequests", "DeviceCgroupRules")):
        raise Refusal("a container with devices of the host is never cloned", FORBIDDEN)
    if any(
        mount.get("Source") == "/" or "docker.sock" in str(mount.get("Source"))
        for mount in template.get("Mounts") or ()
    ):
        raise Refusal("a container that holds Docker's socket or the host's root is never cloned", FORBIDDEN)
    if template["Config"].get("MacAddress"):
        raise Refusal("a container with a fixed MAC address is never cloned", FORBIDDEN)


def _config(wanted: Json, clone: Clone) -> dict[str, Any]:
    running: Json = clone.template["Config"]
    forwarded: dict[str, Any] = {"Image": wanted["Image"], "Labels": _labels(wanted, clone)}
    for key in wanted.keys() | running.keys():
        if key in forwarded:
            continue
        if key == "Hostname" and running.get(key) == clone.template["Id"][:12]:
            if wanted.get(key):
                raise Refusal("Hostname is the template's own", FORBIDDEN)
            continue
        value = running.get(key)
        if key == "User" and not wanted.get(key) and value == clone.image_config.get(key):
            forwarded[key] = value  # left to the image, but no image may choose to run as root
            continue
        if key in OF_IMAGE:
            value = _with_what_is_kept(key, wanted.get(key), value, clone.image_config.get(key))
        require_equal(key, wanted.get(key), value)
        if value is not None:
            forwarded[key] = value
    return forwarded


def _with_what_is_kept(key: str, wanted: Any, running: Any, of_image: Any) -> Any:
    """The running value without what comes from the image and the body leaves out."""
    if isinstance(wanted, list) and isinstance(running, list) and key == "Env":
        return [entry for entry in running if entry in wanted or entry not in (of_image or ())]
    if isinstance(wanted, dict) and isinstance(running, dict) and key in {"ExposedPorts", "Volumes"}:
        return {name: value for name, value in running.items() if name in wanted or name not in (of_image or {})}
    if is_empty(wanted) and same(running, of_image, key):
        return None
    if is_empty(wanted) and key == "Env" and set(running or ()) <= set(of_image or ()):
        return None
    return running


def _labels(wanted: Json, clone: Clone) -> dict[str, str]:
    labels = as_object(wanted.get("Labels"), "Labels")
    if not all(isinstance(value, str) for value in labels.values()):
        raise Refusal("a label is not text", FORBIDDEN)
    running: Json = clone.template["Config"].get("Labels") or {}
    of_image: Json = clone.image_config.get("Labels") or {}
    expected = {NUMBER_LABEL: str(clone.number), IMAGE_LABEL: clone.image_id}
    forwarded: dict[str, str] = {}
    for key in labels.keys() | running.keys():
        value = labels.get(key)
        if key in expected:
            if value != expected[key]:
                raise Refusal(f"the label {key} is not that of the new container", FORBIDDEN)
        elif key == CLONE_LABEL:
            continue
        elif value is None:
            if key != REPLACED_LABEL and of_image.get(key) != running[key]:
                raise Refusal(f"the label {key} is missing", FORBIDDEN)
        elif value != running.get(key):
            raise Refusal(f"the label {shown(key)} differs from that of the running replicas", FORBIDDEN)
        if value is not None:
            forwarded[key] = value
    forwarded[CLONE_LABEL] = labels.get(CLONE_LABEL, "")
    if not 0 < len(forwarded[CLONE_LABEL]) <= MAX_CLONE_LABEL_CHARACTERS or not forwarded[CLONE_LABEL].isprintable():
        raise Refusal(f"the label {CLONE_LABEL} is missing, too long or not printable", FORBIDDEN)
    return forwarded


def _host_config(wanted: Json, clone: Clone) -> dict[str, Any]:
    running: Json = clone.template["HostConfig"]
    forwarded: dict[str, Any] = {}
    for key in wanted.keys() | running.keys():
        value = running.get(key)
        if key == "Mounts":
            value = _mounts(wanted.get(key), value)
        elif key == "Binds":
            value = _binds(wanted.get(key), value)
        elif key == "NetworkMode":
            value = _network_mode(wanted.get(key), value, clone.network_parents)
        require_equal(f"HostConfig.{key}", wanted.get(key), value)
        if value is not None:
            forwarded[key] = value
    return forwarded


def _mounts(wanted: Any, running: Any) -> Any:
    """The running mounts in the body's order. An anonymous volume may be left to Docker: the clone gets its own."""
    if not isinstance(wanted, list) or not isinstance(running, list):
        return running
    by_target = {mount.get("Target"): mount for mount in running}
    targets = [mount.get("Target") if isinstance(mount, dict) else None for mount in wanted]
    if len(wanted) != len(running) or set(map(str, targets)) != set(by_target):
        return running
    return [_mount(one, by_target[str(target)]) for one, target in zip(wanted, targets, strict=True)]


def _mount(wanted: Json, running: Json) -> dict[str, Any]:
    is_anonymous = running.get("Type") == "volume" and _ANONYMOUS_VOLUME.fullmatch(str(running.get("Source", "")))
    if is_anonymous and not wanted.get("Source"):
        return {key: value for key, value in running.items() if key != "Source" or key in wanted}
    return dict(running)


def _binds(wanted: Any, running: Any) -> Any:
    """As _mounts, in the other notation: `generated:/path:rw` may become `/path`."""
    if not isinstance(wanted, list) or not isinstance(running, list):
        return running
    binds: list[str] = []
    for bind in running:
        source, _, rest = str(bind).partition(":")
        path = rest.partition(":")[0]
        binds.append(path if path in wanted and _ANONYMOUS_VOLUME.fullmatch(source) else bind)
    return binds


def _network_mode(wanted: Any, running: Any, parents: frozenset[str]) -> Any:
    """A container whose network is shared gets a new id when it is made anew; the clone then joins the new one."""
    is_shared = str(running).startswith("container:") and isinstance(wanted, str)
    return wanted if is_shared and wanted.removeprefix("container:") in parents else running
