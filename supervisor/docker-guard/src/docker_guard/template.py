"""Compares the body of a create or a connect with a container that runs already. Pure; called by gate.py.

What comes back is written from the running container, not from the body: the client chooses among what is allowed (its
number, a name, an image, what it leaves to that image), and can put in no value of its own. Fields are not listed by
name, so that one that a newer Docker adds is compared like all others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from docker_guard.refusal import FORBIDDEN, Refusal

NUMBER_LABEL = "com.docker.compose.container-number"
IMAGE_LABEL = "com.docker.compose.image"
REPLACED_LABEL = "com.docker.compose.replace"  # Compose's note on a container that it made anew
OWN_LABELS = "supervisor."
MAX_OWN_LABEL_CHARACTERS = 200

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
# Lists in which the order means nothing; Compose writes some of them in a new order each time.
UNORDERED = frozenset(
    {
        "Binds",
        "CapAdd",
        "CapDrop",
        "Env",
        "ExtraHosts",
        "GroupAdd",
        "MaskedPaths",
        "ReadonlyPaths",
        "SecurityOpt",
        "Ulimits",
    }
)
# What Docker fills in when a container is connected. Nobody may ask for it.
RUNTIME_OF_ENDPOINT = frozenset(
    {
        "DNSNames",
        "EndpointID",
        "Gateway",
        "GlobalIPv6Address",
        "GlobalIPv6PrefixLen",
        "IPAddress",
        "IPPrefixLen",
        "IPv6Gateway",
        "MacAddress",
        "NetworkID",
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


def create_body(body: Json, clone: Clone) -> dict[str, Any]:
    """The body to forward. Raises Refusal with the first field that differs from the template."""
    _refuse_what_is_never_cloned(clone.template)
    wanted = {key: value for key, value in body.items() if key not in {"HostConfig", "NetworkingConfig"}}
    host = _object(body.get("HostConfig"), "HostConfig")
    return {
        **_config(wanted, clone),
        "HostConfig": _host_config(host, clone.template["HostConfig"]),
        "NetworkingConfig": _networking(_object(body.get("NetworkingConfig"), "NetworkingConfig"), clone),
    }


def endpoint_body(wanted: Json, network: str, name: str, template: Json) -> dict[str, Any]:
    """One endpoint as it is to be forwarded. `name` is the new container's."""
    running = _object(_object(template["NetworkSettings"].get("Networks"), "Networks").get(network), network)
    if any(_object(running.get("IPAMConfig"), "IPAMConfig").values()):
        raise Refusal(f"{network} gives a fixed address, which no second container can have", FORBIDDEN)
    allowed = {str(alias) for alias in running.get("Aliases") or ()}
    allowed -= {template["Id"][:12], template["Name"].removeprefix("/")}
    aliases = wanted.get("Aliases") or []
    if not isinstance(aliases, list) or not all(isinstance(alias, str) for alias in aliases):
        raise Refusal("Aliases is not a list of names", FORBIDDEN)
    if len(set(aliases)) != len(aliases) or not set(aliases) <= allowed | {name}:
        raise Refusal(f"the aliases in {network} are not those of the running replicas", FORBIDDEN)
    forwarded: dict[str, Any] = {"Aliases": aliases}
    for key in wanted.keys() | running.keys():
        if key in {"Aliases", "IPAMConfig"} or key in RUNTIME_OF_ENDPOINT:
            if key != "Aliases" and not _is_empty(wanted.get(key)):
                raise Refusal(f"{key} of {network} is for Docker to give", FORBIDDEN)
            continue
        _require_equal(f"{network}.{key}", wanted.get(key), running.get(key))
        if running.get(key) is not None:
            forwarded[key] = running[key]
    return forwarded


def _refuse_what_is_never_cloned(template: Json) -> None:
    """Whoever runs privileged or in a namespace of the host is one of a kind, whatever the project says."""
    host = template["HostConfig"]
    if host.get("Privileged") or any(host.get(key) == "host" for key in _HOST_NAMESPACES):
        raise Refusal("a container that is privileged or in a namespace of the host is never cloned", FORBIDDEN)
    if not all(_is_empty(host.get(key)) for key in ("Devices", "DeviceRequests", "DeviceCgroupRules")):
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
        if key in OF_IMAGE:
            value = _with_what_is_kept(key, wanted.get(key), value, clone.image_config.get(key))
        _require_equal(key, wanted.get(key), value)
        if value is not None:
            forwarded[key] = value
    return forwarded


def _with_what_is_kept(key: str, wanted: Any, running: Any, of_image: Any) -> Any:
    """The running value without what comes from the image and the body leaves out."""
    if isinstance(wanted, list) and isinstance(running, list) and key == "Env":
        return [entry for entry in running if entry in wanted or entry not in (of_image or ())]
    if isinstance(wanted, dict) and isinstance(running, dict) and key in {"ExposedPorts", "Volumes"}:
        return {name: value for name, value in running.items() if name in wanted or name not in (of_image or {})}
    if _is_empty(wanted) and _same(running, of_image, key):
        return None
    if _is_empty(wanted) and key == "Env" and set(running or ()) <= set(of_image or ()):
        return None
    return running


def _labels(wanted: Json, clone: Clone) -> dict[str, str]:
    labels = _object(wanted.get("Labels"), "Labels")
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
        elif key.startswith(OWN_LABELS):
            _check_own_label(key, value)
        elif value is None:
            if key != REPLACED_LABEL and of_image.get(key) != running[key]:
                raise Refusal(f"the label {key} is missing", FORBIDDEN)
        elif value != running.get(key):
            raise Refusal(f"the label {_shown(key)} differs from that of the running replicas", FORBIDDEN)
        if value is not None:
            forwarded[key] = value
    return forwarded


def _check_own_label(key: str, value: str | None) -> None:
    text = key + (value or "")
    if len(text) > MAX_OWN_LABEL_CHARACTERS or not text.isascii() or not text.isprintable():
        raise Refusal("a label of the supervisor is too long, or not plain text", FORBIDDEN)


def _host_config(wanted: Json, running: Json) -> dict[str, Any]:
    forwarded: dict[str, Any] = {}
    for key in wanted.keys() | running.keys():
        value = running.get(key)
        if key == "Mounts":
            value = _mounts(wanted.get(key), value)
        _require_equal(f"HostConfig.{key}", wanted.get(key), value)
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


def _networking(wanted: Json, clone: Clone) -> dict[str, Any]:
    endpoints = _object(wanted.get("EndpointsConfig"), "EndpointsConfig")
    if not all(_is_empty(value) for key, value in wanted.items() if key != "EndpointsConfig"):
        raise Refusal("NetworkingConfig has more than EndpointsConfig", FORBIDDEN)
    mode = clone.template["HostConfig"].get("NetworkMode")
    if not endpoints:
        return {}
    if list(endpoints) != [mode]:
        raise Refusal(
            "a create names one network, the first of the running replicas; connect adds the others", FORBIDDEN
        )
    endpoint = _object(endpoints[mode], "EndpointsConfig")
    return {"EndpointsConfig": {mode: endpoint_body(endpoint, mode, clone.name, clone.template)}}


def _require_equal(name: str, wanted: Any, running: Any) -> None:
    if not _same(wanted, running, name.rpartition(".")[2]):
        raise Refusal(f"{_shown(name)} differs from what the running replicas have", FORBIDDEN)


def _same(one: Any, other: Any, key: str) -> bool:
    return (_is_empty(one) and _is_empty(other)) or _canonical(one, key) == _canonical(other, key)


def _canonical(value: Any, key: str) -> str:
    """Text that is the same for the same JSON; 1, 1.0 and true stay three things, as they are for Docker."""
    if key in UNORDERED and isinstance(value, list):
        value = sorted(value, key=lambda one: json.dumps(one, sort_keys=True))
    return json.dumps(value, sort_keys=True)


def _is_empty(value: Any) -> bool:
    """Nothing was asked for: none, empty, zero, false; [0, 0] is the size of a console that is none."""
    return not value or value == [0, 0]


def _object(value: Any, name: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refusal(f"{_shown(name)} is not an object", FORBIDDEN)
    return value


def _shown(name: str) -> str:
    return ascii(name[:80])[1:-1]
