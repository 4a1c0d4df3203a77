"""Knows which containers and images are the project's own. Called by gate.py before anything is forwarded.

A container's labels, image and id never change, so what was once inspected is remembered by its full id. A name can be
given to another container, so names are asked for anew each time.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from docker_guard.daemon import Daemon, DaemonAway
from docker_guard.refusal import NOT_FOUND, no_such_container, no_such_image
from docker_guard.rules import PROJECT_LABEL, filters_of_project
from docker_guard.template import CLONE_LABEL

SERVICE_LABEL = "com.docker.compose.service"
ONE_OFF_LABEL = "com.docker.compose.oneoff"
HASH_LABEL = "com.docker.compose.config-hash"
DEPENDS_LABEL = "com.docker.compose.depends_on"
# These hold the keys: they look after the others, and nobody but Docker and people looks after them.
PROTECTED_SERVICES = frozenset({"supervisor", "docker-guard"})
MAX_REMEMBERED = 2000
OK = 200

# Compose makes a container's successor under the name with an id in front, and renames it when the old one is gone.
_TEMPORARY = re.compile(r"^[0-9a-f]{12}_")
_FULL_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """What does not change of a container of the project. `image`: the reference it was made from."""

    id: str
    name: str  # at the time of the first look
    service: str
    config_hash: str
    image: str
    image_id: str
    is_one_off: bool
    is_clone: bool

    @property
    def is_protected(self) -> bool:
        return self.is_one_off or not self.service or self.service in PROTECTED_SERVICES

    @property
    def repository(self) -> str:
        """Of the image, without tag or digest; empty when the container was made from an image's id."""
        if self.image.startswith("sha256:") or _FULL_ID.fullmatch(self.image):
            return ""
        name = self.image.partition("@")[0]
        return name.rpartition(":")[0] if ":" in name.rpartition("/")[2] else name


class Project:
    """The containers of one Compose project, as Docker knows them at this moment."""

    def __init__(self, name: str, daemon: Daemon) -> None:
        self.name = name
        self._daemon = daemon
        self._known: OrderedDict[str, Container] = OrderedDict()

    def name_of(self, reference: str) -> str:
        """The name of a container that was looked at; else the reference itself."""
        known = self._known.get(reference)
        return known.name if known else reference

    async def find(self, reference: str, version: str) -> Container:
        """A container by id, short id or name. Raises Refusal (404) for one that is another's, or none; DaemonAway."""
        known = self._known.get(reference)
        if known is not None:
            return known
        return self._remember(await self.inspect(reference, version))

    async def inspect(self, reference: str, version: str) -> Mapping[str, Any]:
        """The whole inspect of one of the project's containers. Raises as `find`."""
        status, inspected = await self._daemon.fetch(f"{version}/containers/{reference}/json")
        if status == NOT_FOUND:
            raise no_such_container(reference)
        if status != OK or not isinstance(inspected, dict):
            raise DaemonAway(f"Docker answered {status} to an inspect")
        if (inspected["Config"].get("Labels") or {}).get(PROJECT_LABEL) != self.name:
            raise no_such_container(reference, "the container is not the project's")
        return inspected

    async def containers(self, version: str) -> list[Container]:
        """All containers of the project, newest first, in whatever state. One that vanishes meanwhile is left out."""
        query = urlencode({"all": "1", "filters": filters_of_project("", self.name)})
        status, listed = await self._daemon.fetch(f"{version}/containers/json?{query}")
        if status != OK:
            raise DaemonAway(f"Docker answered {status} to a list")
        found: list[Container] = []
        for entry in listed:
            known = self._known.get(entry["Id"])
            if known is None:
                status, inspected = await self._daemon.fetch(f"{version}/containers/{entry['Id']}/json")
                if status != OK:
                    continue
                known = self._remember(inspected)
            found.append(known)
        return found

    async def image(self, reference: str, version: str) -> Mapping[str, Any]:
        """An image's inspect. Raises Refusal (404) when there is none; whose it is, `is_own_image` tells."""
        status, inspected = await self._daemon.fetch(f"{version}/images/{reference}/json")
        if status == NOT_FOUND:
            raise no_such_image(reference)
        if status != OK or not isinstance(inspected, dict):
            raise DaemonAway(f"Docker answered {status} to an inspect of an image")
        return inspected

    def _remember(self, inspected: Mapping[str, Any]) -> Container:
        labels: Mapping[str, str] = inspected["Config"].get("Labels") or {}
        container = Container(
            id=inspected["Id"],
            name=_TEMPORARY.sub("", inspected["Name"].removeprefix("/")),
            service=labels.get(SERVICE_LABEL, ""),
            config_hash=labels.get(HASH_LABEL, ""),
            image=inspected["Config"]["Image"],
            image_id=inspected["Image"],
            is_one_off=labels.get(ONE_OFF_LABEL, "False") != "False",
            is_clone=CLONE_LABEL in labels,
        )
        self._known[container.id] = container
        while len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)
        return container


def repositories(containers: list[Container]) -> frozenset[str]:
    """The repositories that these containers were made from."""
    return frozenset(one.repository for one in containers if one.repository)


def is_own_image(inspected: Mapping[str, Any], containers: list[Container]) -> bool:
    """Is the image what one of these containers runs, or tagged in a repository of theirs?"""
    own = repositories(containers)
    tags = inspected.get("RepoTags") or ()
    return any(one.image_id == inspected["Id"] for one in containers) or any(
        tag.rpartition(":")[0] in own for tag in tags
    )
