"""Every image of the stack: pulled where a container registry answers, built on this machine where none does.

Run as `python3 -m scripts.images [--only postgres,redis] [--list] [--rebuild] [--mode auto|registry|local]`;
scripts/stack.py calls `resolve_mode` and `prepare`. What is built of the same inputs already is left alone.
"""

from __future__ import annotations

import argparse
import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from scripts import console, engine, image_build, plugins, registry
from scripts.image_catalog import (
    BY_NAME,
    CATALOG,
    LABEL,
    LOCAL_BASE,
    REGISTRY_BASE,
    STACK,
    Image,
    built_hashes,
    inputs_hash,
    select,
)
from scripts.process import ROOT, STATE, log_file, logged, output
from scripts.registry import Mode

COMPONENTS = tuple(image.name for image in CATALOG if image.replaces_upstream and image.name != "base")
OURS = tuple(image.name for image in CATALOG if not image.replaces_upstream)
TAG_SECONDS = 60
COMPOSE = ("docker", "compose", "--file", "docker-compose.prod.yml")


def resolve_mode(requested: str = "auto") -> Mode:
    """Where images come from on this machine: `registry` or `local`. Asks a registry at most once (8 s)."""
    return registry.resolve(requested)


def prepare(
    mode: Mode,
    only: Sequence[str] = (),
    *,
    compose: Sequence[str] = COMPOSE,
    auto: bool = False,
    rebuild: bool = False,
) -> Mode:
    """Bring every image of the stack (or only the named ones) up to date. Returns the mode that it ended with.

    `compose` is the command that renders the production file with its settings. With `auto`, a registry that answers
    but does not deliver (rate limits, missing tags) is given up for `local`. `rebuild` builds what is up to date too.
    """
    names = list(only) or list(STACK)
    if mode == "registry":
        wanted = [name for name in names if name in COMPONENTS]
        if not wanted or registry.pull(compose, wanted):
            build_missing([name for name in names if name in OURS], REGISTRY_BASE, rebuild=rebuild)
            return mode
        if not auto:
            console.fail("The registry does not deliver the images.", "Try again later, or set IMAGES=local in .env.")
        registry.remember("local")
    build_missing(names, LOCAL_BASE, rebuild=rebuild)
    return "local"


def outdated(names: Sequence[str], base: str = LOCAL_BASE) -> list[Image]:
    """The named images, and those they start from, that Docker lacks or has from other inputs."""
    images = select(names, base)
    built = built_hashes(images)
    return [image for image in images if built.get(image.name) != inputs_hash(image, base)]


def build_missing(names: Sequence[str], base: str, *, rebuild: bool = False) -> None:
    """Build what is outdated (or all of it); another run of this script in the same checkout is waited for."""
    if not rebuild and not outdated(names, base):
        return
    with _alone():
        images = select(names, base) if rebuild else outdated(names, base)
        if images:
            image_build.build(images, base)
            # The images that were just replaced have no name any more; those of others carry no such label.
            prune = ["docker", "image", "prune", "--force", "--filter", f"label={LABEL}"]
            logged(prune, log_file("images"), timeout_seconds=120)


def tag(mode: Mode, project_name: str) -> None:
    """Let `modporter/<name>:<project>`, which Compose starts, point at what is built.

    `:local` is the newest build of this machine, whichever checkout made it. An installation has tags of its own, so
    that nobody else's build, and only its own `make up` or a rollout, changes what it runs.
    """
    names = [name for name in STACK if mode == "local" or name in OURS]
    own = {name: f"modporter/{name}:{project_name}" for name in [*names, "migrate"]}
    before = _ids([BY_NAME["backend"].tag, own["backend"], own["migrate"]])
    for name in names:
        logged(["docker", "tag", BY_NAME[name].tag, own[name]], log_file("images"), timeout_seconds=TAG_SECONDS)
    # Compose recreates what depends on a one-shot that has another image: a rolled-out backend would go in vain.
    if before[0] != before[1] or not before[2]:
        logged(["docker", "tag", own["backend"], own["migrate"]], log_file("images"), timeout_seconds=TAG_SECONDS)


def _ids(references: Sequence[str]) -> list[str]:
    """The id of each image, empty where there is none."""
    return [output(["docker", "image", "inspect", "--format", "{{.Id}}", reference]) or "" for reference in references]


@contextmanager
def _alone() -> Iterator[None]:
    STATE.mkdir(exist_ok=True)
    with (STATE / "images.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with console.step("Images: wait for another build in this folder"):
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _print_list(base: str) -> None:
    present = [image for image in CATALOG if not image.dockerfile or (ROOT / image.dockerfile).exists()]
    built = built_hashes(present)
    for image in present:
        have, want = built.get(image.name), inputs_hash(image, base)
        state = "up to date" if have == want else "outdated" if have else "not built"
        console.say(f"{image.tag:32} {want}  {state}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts.images", description="Pull or build every image of the stack.")
    parser.add_argument("--only", default="", metavar="NAMES", help=f"comma-separated, of: {', '.join(BY_NAME)}")
    parser.add_argument("--mode", choices=("auto", "registry", "local"), default="auto")
    parser.add_argument("--list", action="store_true", help="print every image and whether it is up to date; no change")
    parser.add_argument("--rebuild", action="store_true", help="build all again on a new base: today's packages")
    arguments = parser.parse_args()
    if lacking := engine.missing():
        console.fail(f"Missing: {', '.join(lacking)}.", "Run `make up`, or `python3 -m scripts.engine`.")
    if arguments.list:
        _print_list(LOCAL_BASE)
        return 0
    plugins.install()
    only = [name.strip() for name in arguments.only.split(",") if name.strip()]
    prepare(resolve_mode(arguments.mode), only, auto=arguments.mode == "auto", rebuild=arguments.rebuild)
    return 0


if __name__ == "__main__":
    console.run(main)
