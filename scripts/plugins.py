"""Compose and buildx as plugins of the docker command, from the most trusted source that has them.

1. what the machine already has; 2. the distribution's own package, when new enough; 3. the signed packages of Debian
13, fetched and verified by apt with a sources file and a lists folder of its own (the machine's configuration stays as
it is) and unpacked into ~/.docker/cli-plugins. Run as `python3 -m scripts.plugins [--status]`; scripts/up.py calls it.
"""

from __future__ import annotations

import argparse
import functools
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from scripts import apt, console
from scripts.process import can_be_root, log_file, logged, logged_or_fail, output, relative

SUITE = "trixie"
FETCH_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Plugin:
    """One docker CLI plugin: the command, the least version, and the distribution's packages that carry it."""

    command: str
    least: tuple[int, int]
    packages: tuple[str, ...]

    @property
    def binary(self) -> str:
        return f"docker-{self.command}"


# Debian calls the package docker-compose, Ubuntu docker-compose-v2; `healthcheck` and `!reset` need Compose 2.24.
COMPOSE = Plugin("compose", (2, 24), ("docker-compose-v2", "docker-compose"))
BUILDX = Plugin("buildx", (0, 10), ("docker-buildx",))
PLUGINS = (COMPOSE, BUILDX)


def version(plugin: Plugin) -> tuple[int, ...] | None:
    """The version that `docker <plugin>` answers with, or None."""
    text = output(["docker", plugin.command, "version"])
    found = re.search(r"v?(\d+)\.(\d+)\.(\d+)", text or "")
    return tuple(map(int, found.groups())) if found else None


def missing() -> list[Plugin]:
    """The plugins that docker does not have, or has too old."""
    return [plugin for plugin in PLUGINS if (version(plugin) or (0, 0))[:2] < plugin.least]


def install() -> None:
    """Bring every missing plugin; returns at once when there is none."""
    wanted = missing()
    if not wanted:
        return
    if not apt.is_debian_like():
        names = " and ".join(f"{p.binary} >= {'.'.join(map(str, p.least))}" for p in wanted)
        console.fail(f"Docker here lacks {names}.", "Install or update Docker Desktop or your distribution's package.")
    with console.step(f"Docker plugins: {', '.join(plugin.command for plugin in wanted)}") as step:
        for plugin in wanted:
            step.note(plugin.binary)
            if not _from_distribution(plugin):
                _from_debian(plugin)
            if plugin in missing():
                console.fail(
                    f"docker {plugin.command} still does not answer.",
                    f"Install {plugin.binary} by hand as a plugin. The log is {relative(log_file('plugins'))}.",
                )
        step.note("")


def _from_distribution(plugin: Plugin) -> bool:
    """Install the distribution's package when its version is new enough and root can be had."""
    if not can_be_root():
        return False
    apt.refresh_empty_lists()
    for package in plugin.packages:
        policy = output(["apt-cache", "policy", package]) or ""
        found = re.search(r"Candidate: (?:\d+:)?(\d+)\.(\d+)", policy)
        if found and tuple(map(int, found.groups())) >= plugin.least:
            apt.install([package])
            return plugin not in missing()
    return False


def _from_debian(plugin: Plugin) -> None:
    """Unpack the plugin out of Debian 13's package into the user's plugin folder."""
    log = log_file("plugins")
    package = plugin.packages[-1]
    with tempfile.TemporaryDirectory(prefix="modporter-") as scratch:
        place = Path(scratch)
        place.chmod(0o755)  # apt drops its rights to the user _apt while it downloads
        options = _foreign_apt(place)
        for command in (["apt-get", *options, "update"], ["apt-get", *options, "download", package]):
            logged_or_fail(
                ["sh", "-c", 'cd "$0" && exec "$@"', place, *command],
                log,
                timeout_seconds=FETCH_SECONDS,
                sentence=f"Debian's package {package} could not be fetched.",
                what_to_do="Check the network, or install Docker Compose and buildx by hand.",
            )
        (archive,) = place.glob(f"{package}_*.deb")
        logged(["dpkg-deb", "--extract", archive, place / "files"], log, timeout_seconds=60)
        binary = next((place / "files").glob(f"usr/lib*/docker/cli-plugins/{plugin.binary}"))
        target = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "cli-plugins" / plugin.binary
        target.parent.mkdir(parents=True, exist_ok=True)
        # Copied beside, then renamed: an interrupted copy never leaves half a program behind.
        partial = target.with_suffix(".new")
        shutil.copy(binary, partial)
        partial.chmod(0o755)
        partial.replace(target)


@functools.cache
def _architecture() -> str:
    return output(["dpkg", "--print-architecture"]) or "amd64"


def _foreign_apt(place: Path) -> list[str]:
    """apt-get options that read Debian 13 alone, verified with Debian's keys, and write only below `place`."""
    mirror = apt.debian_mirror()
    if mirror is None or not apt.KEYRING.exists():
        console.fail(
            "This machine's packages bring no new enough Docker Compose and buildx, and it knows no Debian mirror.",
            "Install docker-compose-v2 and docker-buildx from your distribution's updates, or Docker's own packages.",
        )
    sources = place / "sources.list"
    sources.write_text(f"deb [signed-by={apt.KEYRING}] {mirror} {SUITE} main\n")
    (place / "lists" / "partial").mkdir(parents=True)
    (place / "cache" / "archives" / "partial").mkdir(parents=True)
    settings = {
        "Dir::Etc::SourceList": sources,
        "Dir::Etc::SourceParts": "-",
        "Dir::State::Lists": place / "lists",
        "Dir::Cache": place / "cache",
        "Dir::State::Status": "/dev/null",  # so that what is installed here does not pick another candidate
        "APT::Architecture": _architecture(),
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
    }
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts.plugins", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--status", action="store_true", help="only print what docker has")
    if parser.parse_args().status:
        for plugin in PLUGINS:
            found = version(plugin)
            console.say(f"{plugin.command:8} {'.'.join(map(str, found)) if found else 'missing'}")
        return 0
    install()
    return 0


if __name__ == "__main__":
    console.run(main)
