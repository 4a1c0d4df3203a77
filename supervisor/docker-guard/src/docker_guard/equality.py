"""When two values of a body are the same to Docker. Pure; called by template.py and endpoints.py."""

from __future__ import annotations

import json
from typing import Any

from docker_guard.refusal import FORBIDDEN, Refusal

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


def require_equal(name: str, wanted: Any, running: Any) -> None:
    if not same(wanted, running, name.rpartition(".")[2]):
        raise Refusal(f"{shown(name)} differs from what the running replicas have", FORBIDDEN)


def same(one: Any, other: Any, key: str) -> bool:
    return (is_empty(one) and is_empty(other)) or _canonical(one, key) == _canonical(other, key)


def _canonical(value: Any, key: str) -> str:
    """Text that is the same for the same JSON; 1, 1.0 and true stay three things, as they are for Docker."""
    if key in UNORDERED and isinstance(value, list):
        value = sorted(value, key=lambda one: json.dumps(one, sort_keys=True))
    return json.dumps(value, sort_keys=True)


def is_empty(value: Any) -> bool:
    """Nothing was asked for: none, empty, zero, false; [0, 0] is the size of a console that is none."""
    return not value or value == [0, 0]


def as_object(value: Any, name: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refusal(f"{shown(name)} is not an object", FORBIDDEN)
    return value


def shown(name: str) -> str:
    return ascii(name[:80])[1:-1]
