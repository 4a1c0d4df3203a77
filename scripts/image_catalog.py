"""Which images are built here, from what, and whether the one that Docker has is still made of the same inputs.

An image's inputs are its Dockerfile, the files that its COPY instructions name, and the inputs of the images it starts
from; their hash is the label `org.modporter.inputs`. Used by images.py, which builds what differs.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from scripts import console
from scripts.process import ROOT

LABEL = "org.modporter.inputs"
LOCAL_BASE = "modporter/base:local"
REGISTRY_BASE = "debian:trixie-slim"


@dataclass(frozen=True, slots=True)
class Image:
    """One image of ours. `seconds` is what a cold build takes on two cores: it decides what is started first."""

    name: str
    dockerfile: str
    seconds: int
    target: str = ""
    after: str = ""  # an image whose build makes this one's layers: building both at once would do the work twice
    replaces_upstream: bool = False  # built only where no registry answers
    is_optional: bool = False  # no part of the stack: built only when it is named

    @property
    def tag(self) -> str:
        return f"modporter/{self.name}:local"


BASE = Image("base", "", 35, replaces_upstream=True)
CATALOG = (
    BASE,
    Image("python", "images/python/Dockerfile", 9, target="python"),
    Image("python-build", "images/python/Dockerfile", 15, target="python-build", after="python"),
    Image("ai-engine", "services/ai-engine/Dockerfile", 120),
    Image("neo4j", "images/neo4j/Dockerfile", 60, replaces_upstream=True),
    Image("backend", "services/backend/Dockerfile", 40),
    Image("frontend", "services/frontend/Dockerfile", 25),
    Image("supervisor", "supervisor/Dockerfile", 20),
    Image("docker-guard", "supervisor/docker-guard/Dockerfile", 8),
    Image("postgres", "images/postgres/Dockerfile", 20, replaces_upstream=True),
    Image("nginx", "images/nginx/Dockerfile", 13, replaces_upstream=True),
    Image("prometheus", "images/prometheus/Dockerfile", 25, replaces_upstream=True),
    Image("pgbouncer", "images/pgbouncer/Dockerfile", 9, replaces_upstream=True),
    Image("redis", "images/redis/Dockerfile", 5, replaces_upstream=True),
    Image("load", "images/load/Dockerfile", 5, is_optional=True),
)
BY_NAME = {image.name: image for image in CATALOG}
STACK = tuple(image.name for image in CATALOG if not image.is_optional)


def instructions(dockerfile: str) -> list[str]:
    """The Dockerfile's instructions, one a line, without comments and with continued lines joined."""
    text = (ROOT / dockerfile).read_text()
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return [line.strip() for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines() if line.strip()]


@functools.cache
def parents(image: Image, base: str) -> tuple[Image, ...]:
    """The images of ours that must exist before this one is built on `base`."""
    if image == BASE:
        return ()
    named = re.findall(r"modporter/([a-z0-9-]+):local", "\n".join(instructions(image.dockerfile)))
    names = {name for name in named if name in BY_NAME and name != image.name}
    if base != LOCAL_BASE:
        names.discard(BASE.name)
    if image.after:
        names.add(image.after)
    return tuple(BY_NAME[name] for name in sorted(names))


def sources(dockerfile: str) -> list[str]:
    """The paths and patterns, relative to the root, that the Dockerfile takes out of the build context."""
    found: list[str] = []
    for line in instructions(dockerfile):
        word, _, rest = line.partition(" ")
        if word.upper() in {"COPY", "ADD"} and "--from=" not in rest:
            rest = re.sub(r"^\s*(--\S+\s+)*", "", rest)
            found += (json.loads(rest) if rest.startswith("[") else rest.split())[:-1]
        for mount in re.findall(r"--mount=(type=bind\S*)", rest):
            options = dict(part.partition("=")[::2] for part in mount.split(","))
            if "from" not in options:
                found.append(options.get("source") or options.get("src") or ".")
    return found


def input_files(patterns: Iterable[str]) -> list[Path]:
    """The files behind the patterns that a build can see: what git knows or would take; without git, all there are."""
    named = [path for pattern in patterns for path in ([ROOT] if pattern == "." else ROOT.glob(pattern.rstrip("/")))]
    if not named:
        return []
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"]
    listing = subprocess.run([*command, *map(str, named)], capture_output=True, text=True, check=False)
    if listing.returncode == 0:
        files = {ROOT / name for name in listing.stdout.split("\0") if name}
    else:
        files = {file for path in named for file in (path.rglob("*") if path.is_dir() else [path])}
    ignored = _ignored()
    return sorted(file for file in files if file.is_file() and not ignored.match(f"{file.relative_to(ROOT)}/"))


@functools.cache
def _ignored() -> re.Pattern[str]:
    """What .dockerignore keeps out of builds, for a path that ends in a slash; it uses no exceptions (`!`)."""
    try:
        lines = (ROOT / ".dockerignore").read_text().splitlines()
    except OSError:
        lines = []
    patterns = [re.escape(line.strip("/")) for line in lines if line.strip() and not line.startswith("#")]
    words = [p.replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*") for p in patterns]
    return re.compile(f"(?:{'|'.join(words) or '(?!)'})/")


@functools.cache
def inputs_hash(image: Image, base: str) -> str:
    """The hash of everything that the image is made of, 16 hexadecimal digits."""
    digest = hashlib.sha256(f"{image.target}\0{base}\0".encode())
    if image == BASE:
        files = [ROOT / "scripts/base_image.py", *input_files(["images/base"])]
    else:
        files = [ROOT / image.dockerfile, *input_files(sources(image.dockerfile))]
    for file in files:
        mode = "x" if os.access(file, os.X_OK) else "-"
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(ROOT)}\0{mode}\0{content}\n".encode())
    for parent in parents(image, base):
        digest.update(f"{parent.name}={inputs_hash(parent, base)}\n".encode())
    return digest.hexdigest()[:16]


def built_hashes(images: Iterable[Image]) -> dict[str, str]:
    """The input hash that each image was built from, by name; images that Docker does not have are left out."""
    tags = {image.tag: image.name for image in images}
    inspect = subprocess.run(["docker", "image", "inspect", *tags], capture_output=True, text=True, check=False)
    found: dict[str, str] = {}
    for view in json.loads(inspect.stdout or "[]"):
        labels = view["Config"].get("Labels") or {}
        for tag in view.get("RepoTags") or ():
            if tag in tags and LABEL in labels:
                found[tags[tag]] = labels[LABEL]
    return found


def select(names: Iterable[str], base: str) -> list[Image]:
    """The named images with all that they are built from, in the order of the catalog."""
    wanted: set[Image] = set()
    queue = [_by_name(name) for name in names]
    while queue:
        image = queue.pop()
        if image not in wanted:
            wanted.add(image)
            queue += parents(image, base)
    return [image for image in CATALOG if image in wanted]


def _by_name(name: str) -> Image:
    if name not in BY_NAME:
        console.fail(f"There is no image called {name}.", f"The images are: {', '.join(BY_NAME)}.")
    return BY_NAME[name]


def chain_seconds(image: Image, images: Iterable[Image], base: str) -> int:
    """How long the longest row of builds is that waits for this image, itself included."""
    children = [other for other in images if image in parents(other, base)]
    return image.seconds + max((chain_seconds(child, images, base) for child in children), default=0)
