"""The guard's settings, from the environment. Built once by __main__."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class BadSettings(Exception):  # noqa: N818
    """The text says which variable and what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardSettings:
    """`project`: the Compose project that is guarded. `singles`: its services that must not run twice. The other three
    are Unix sockets."""

    project: str
    singles: frozenset[str]
    docker_socket: Path
    full_socket: Path
    read_socket: Path


def read_settings(environment: Mapping[str, str]) -> GuardSettings:
    """PROJECT, SINGLE_SERVICES (separated by commas), DOCKER_SOCKET, GUARD_SOCKET, GUARD_READ_SOCKET. Raises
    BadSettings."""
    project = environment.get("PROJECT", "")
    if re.fullmatch(r"[a-z0-9][a-z0-9_-]*", project, re.ASCII) is None:
        raise BadSettings("PROJECT must be the name of the Compose project (lower case, digits, - and _)")
    return GuardSettings(
        project=project,
        singles=frozenset(name.strip() for name in environment.get("SINGLE_SERVICES", "").split(",") if name.strip()),
        docker_socket=Path(environment.get("DOCKER_SOCKET", "/var/run/docker.sock")),
        full_socket=Path(environment.get("GUARD_SOCKET", "/run/docker-guard/guard.sock")),
        read_socket=Path(environment.get("GUARD_READ_SOCKET", "/run/docker-guard-read/guard.sock")),
    )
