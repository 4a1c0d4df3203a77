"""Compares how a new container joins a network with how a running replica did. Pure; called by template and gate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from docker_guard.equality import as_object, is_empty, require_equal
from docker_guard.refusal import FORBIDDEN, Refusal

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

Json = Mapping[str, Any]


def networking_body(wanted: Json, name: str, template: Json) -> dict[str, Any]:
    """The NetworkingConfig of a create as it is to be forwarded."""
    endpoints = as_object(wanted.get("EndpointsConfig"), "EndpointsConfig")
    if not all(is_empty(value) for key, value in wanted.items() if key != "EndpointsConfig"):
        raise Refusal("NetworkingConfig has more than EndpointsConfig", FORBIDDEN)
    mode = template["HostConfig"].get("NetworkMode")
    if not endpoints:
        return {}
    if list(endpoints) != [mode]:
        raise Refusal(
            "a create names one network, the first of the running replicas; connect adds the others", FORBIDDEN
        )
    endpoint = as_object(endpoints[mode], "EndpointsConfig")
    return {"EndpointsConfig": {mode: endpoint_body(endpoint, mode, name, template)}}


def endpoint_body(wanted: Json, network: str, name: str, template: Json) -> dict[str, Any]:
    """One endpoint as it is to be forwarded. `name` is the new container's."""
    running = as_object(as_object(template["NetworkSettings"].get("Networks"), "Networks").get(network), network)
    if any(as_object(running.get("IPAMConfig"), "IPAMConfig").values()):
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
            if key != "Aliases" and not is_empty(wanted.get(key)):
                raise Refusal(f"{key} of {network} is for Docker to give", FORBIDDEN)
            continue
        require_equal(f"{network}.{key}", wanted.get(key), running.get(key))
        if running.get(key) is not None:
            forwarded[key] = running[key]
    return forwarded
