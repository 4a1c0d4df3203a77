"""Removes the images that deploys left behind. Called by deploy.py when a rollout is over.

Of each service stay what runs, the image before (for `make rollback`) and the newest few versions. Only tags that
deploys and rollouts make are removed, never one that a person gave, and never an image that a container was made from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from scripts.process import output

KEPT_VERSIONS = 3
REMOVE_SECONDS = 120
# A hash of what it was built from (make deploy), or the beginning of its own id (the supervisor).
_VERSION = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Version:
    """An image with the tags of versions that it has. `at`: when it was tagged last, as text that sorts by time."""

    id: str
    tags: tuple[str, ...]
    at: str


def remove(service: str) -> list[str]:
    """Remove what is too old; returns the tags that went. An image that Docker does not let go stays."""
    repository = f"modporter/{service}"
    listed = (output(["docker", "image", "ls", "--no-trunc", "--quiet", repository]) or "").split()
    if not listed:
        return []
    views = json.loads(output(["docker", "image", "inspect", *sorted(set(listed))]) or "[]")
    containers = (output(["docker", "ps", "--all", "--quiet", "--no-trunc"]) or "").split()
    used = output(["docker", "inspect", "--format", "{{.Image}}", *containers]) if containers else ""
    if used is None:
        return []  # a container has just gone; the next deploy looks again
    names = superfluous(repository, views, used.split())
    return [
        name for name in names if output(["docker", "image", "rm", name], timeout_seconds=REMOVE_SECONDS) is not None
    ]


def superfluous(repository: str, views: Iterable[Mapping[str, Any]], used: Iterable[str]) -> list[str]:
    """The tags to remove. `views`: what `docker image inspect` says of the repository's images; `used`: ids of images
    that containers were made from."""
    versions = sorted((_version(repository, view) for view in views), key=lambda one: one.at, reverse=True)
    kept = {version.id for version in [one for one in versions if one.tags][:KEPT_VERSIONS]} | set(used)
    kept |= {view["Id"] for view in views if _has_another_name(repository, view)}
    return [tag for version in versions if version.id not in kept for tag in version.tags]


def _version(repository: str, view: Mapping[str, Any]) -> Version:
    tags = tuple(sorted(tag for tag in view.get("RepoTags") or () if _is_version(repository, tag)))
    tagged_at = str((view.get("Metadata") or {}).get("LastTagTime") or "")
    is_known = bool(tagged_at) and not tagged_at.startswith("0001-")
    return Version(str(view["Id"]), tags, tagged_at if is_known else str(view["Created"]))


def _is_version(repository: str, tag: str) -> bool:
    name, _, version = tag.rpartition(":")
    return name == repository and _VERSION.fullmatch(version) is not None


def _has_another_name(repository: str, view: Mapping[str, Any]) -> bool:
    """It is what an installation runs or ran before, the newest build, or something that a person named."""
    return not all(_is_version(repository, tag) for tag in view.get("RepoTags") or ())
