"""What stands between this machine and a running stack, found without changing anything. Used by up.py and test.py.

`look` collects facts; `troubles` and `todo` are pure functions of them: the first names what a person must solve, each
in one sentence with what to do, the second what the scripts are about to do by themselves.
"""

from __future__ import annotations

import getpass
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

GIB = 1024**3
DISK_TO_BUILD = 12 * GIB
DISK_TO_PULL = 6 * GIB
DISK_TO_RUN = 2 * GIB
MEMORY_NEEDED = 4 * GIB
MEMORY_TOLERANCE = 0.9  # "4 GB" machines show less: the kernel and the graphics take some


@dataclass(frozen=True)
class Trouble:
    """Something that the scripts cannot solve: one sentence about it, and one about what to do."""

    sentence: str
    what_to_do: str


@dataclass(frozen=True)
class TakenPort:
    """A port that the stack wants and somebody else has."""

    key: str  # the setting; empty for a store's port, which only `make dev` opens
    port: int
    owner: str = ""


@dataclass(frozen=True)
class Facts:
    """What is there and what is not. Sizes in bytes."""

    system: str = "Debian"
    is_debian_like: bool = True
    may_be_root: bool = True
    engine: str = "running"  # running, stopped, absent, forbidden, outdated
    missing_plugins: Sequence[str] = ()
    images_from: str = "local"  # local, registry, auto (not asked yet)
    missing_images: Sequence[str] = ()
    bad_settings: Sequence[str] = ()
    is_first_time: bool = False  # there is no .env yet
    new_settings: bool = False
    missing_secrets: Sequence[str] = ()
    bad_secret: str = ""
    old_volumes: Sequence[str] = ()
    certificate_reason: str = ""
    bad_certificate: str = ""
    has_openssl: bool = True
    taken_ports: Sequence[TakenPort] = ()
    disk_path: str = "/"
    disk_free: int = 100 * GIB
    memory: int = 16 * GIB
    unreachable: str = ""

    @property
    def disk_needed(self) -> int:
        """How much must be free: a local build keeps every layer and its caches."""
        if not self.missing_images:
            return DISK_TO_RUN
        return DISK_TO_PULL if self.images_from == "registry" else DISK_TO_BUILD

    @property
    def must_fetch(self) -> bool:
        """Whether anything has to come over the network."""
        return bool(self.missing_images or self.missing_plugins or self.engine == "absent" or not self.has_openssl)

    @property
    def needs_root(self) -> bool:
        """Whether a step is going to ask for root: packages to install, an engine to start, a Debian to unpack."""
        builds_base = "base" in self.missing_images and self.images_from == "local"
        # Without root the plugins come from another place.
        installs_plugins = bool(self.missing_plugins) and self.may_be_root
        return self.engine != "running" or installs_plugins or not self.has_openssl or builds_base


def troubles(facts: Facts) -> list[Trouble]:
    """Everything that stops the start, all at once, so that nobody has to try again for each."""
    return [*_of_settings(facts), *_of_the_machine(facts), *_of_the_engine(facts)]


def _of_settings(facts: Facts) -> list[Trouble]:
    found = [Trouble(f"{sentence}.", "Correct that setting.") for sentence in facts.bad_settings]
    if facts.bad_secret:
        found.append(Trouble(f"{facts.bad_secret}.", "Put a real one in, or delete the file to get a generated one."))
    if facts.bad_certificate:
        found.append(
            Trouble(f"{facts.bad_certificate}.", "Correct TLS_CERT and TLS_KEY in .env, or set the local ones again.")
        )
    if facts.missing_secrets and facts.old_volumes:
        found.append(
            Trouble(
                f"There is data of an earlier installation ({', '.join(facts.old_volumes)}), but its passwords are "
                f"gone ({', '.join(facts.missing_secrets)}).",
                "Put the old secrets folder back, or choose another COMPOSE_PROJECT_NAME, "
                "or remove the data with `make clean`.",
            )
        )
    return found


def _of_the_machine(facts: Facts) -> list[Trouble]:
    found: list[Trouble] = []
    for taken in facts.taken_ports:
        who = f" by {taken.owner}" if taken.owner else " by another program"
        other = f"{taken.key}={_other_port(taken.port)}"
        remedy = f"run `make up {other}`" if facts.is_first_time else f"set {other} in .env"
        way_out = f"or use another port: {remedy}" if taken.key else "or use `make up`, which does not need this port"
        found.append(Trouble(f"Port {taken.port} is taken{who}.", f"Stop that, {way_out}."))
    if facts.disk_free < facts.disk_needed:
        found.append(
            Trouble(
                f"Only {_gib(facts.disk_free)} are free on the disk of {facts.disk_path}; "
                f"this needs about {_gib(facts.disk_needed)}.",
                "Free some space there (unused images: `docker image prune`).",
            )
        )
    if facts.memory < MEMORY_NEEDED * MEMORY_TOLERANCE:
        found.append(
            Trouble(
                f"Docker has {_gib(facts.memory)} of memory here; the stack needs about {_gib(MEMORY_NEEDED)}.",
                "Use a larger machine, or give Docker Desktop more memory in its settings.",
            )
        )
    if facts.must_fetch and facts.unreachable:
        found.append(
            Trouble(
                f"{facts.unreachable} does not answer, and something has to be fetched from there.",
                "Check the network; behind a proxy set http_proxy and https_proxy.",
            )
        )
    return found


def _of_the_engine(facts: Facts) -> list[Trouble]:
    still_works = "Without it `make venv` and then `.venv/bin/modporter convert my-mod.jar` work."
    if facts.engine == "outdated":
        return [Trouble("Docker here is older than 20.10.", "Update Docker Engine, then run `make up` again.")]
    if facts.engine == "forbidden" and not facts.may_be_root:
        return [
            Trouble(
                "Your user may not talk to Docker: it is not in the group docker, and there is no sudo.",
                f"Ask an administrator for `usermod -aG docker {getpass.getuser()}`, then log in again.",
            )
        ]
    if facts.engine in ("absent", "stopped") and not facts.is_debian_like:
        verb = "is not installed" if facts.engine == "absent" else "does not run"
        return [
            Trouble(
                f"Docker {verb}, and on {facts.system} it is not this script's to change.",
                f"Install and start Docker Desktop or your distribution's Docker Engine. {still_works}",
            )
        ]
    needs_root = facts.engine in ("absent", "stopped") or not facts.has_openssl
    if needs_root and not facts.may_be_root:
        what = {"absent": "Docker is not installed", "stopped": "Docker does not run"}.get(
            facts.engine, "openssl is not installed"
        )
        return [
            Trouble(
                f"{what}, and you have no right to change that: you are not root and there is no sudo.",
                f"Run `make up` as root, or ask an administrator for it. {still_works}",
            )
        ]
    if facts.missing_plugins and not facts.is_debian_like:
        return [
            Trouble(
                f"Docker here lacks {' and '.join(facts.missing_plugins)}.",
                "Install or update Docker Desktop, or your distribution's packages of them.",
            )
        ]
    return []


def todo(facts: Facts) -> list[str]:
    """What `make up` is about to do, in order, in a person's words. Empty on a machine where everything is in place."""
    plan: list[str] = []
    if facts.engine == "absent":
        plan.append("install Docker Engine (the package docker.io) and start it")
    if facts.engine == "stopped":
        plan.append("start Docker Engine")
    if facts.engine == "forbidden":
        plan.append("let your user talk to Docker (group docker)")
    if facts.missing_plugins:
        plan.append(f"add {' and '.join(facts.missing_plugins)} to docker")
    if not facts.has_openssl:
        plan.append("install openssl")
    if facts.new_settings:
        plan.append("write the settings to .env")
    if facts.missing_secrets:
        plan.append(f"make {len(facts.missing_secrets)} passwords and keys")
    if facts.certificate_reason:
        plan.append(f"make a certificate ({facts.certificate_reason})")
    if facts.missing_images:
        verb = "build" if facts.images_from == "local" else "pull (where a registry has them) or build"
        plan.append(f"{verb} {len(facts.missing_images)} images: {', '.join(facts.missing_images)}")
    return plan


def memory_of_this_machine() -> int:
    """Bytes of memory that Linux has; 0 where that is not told (then ask Docker)."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemTotal:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def system_name(release: Mapping[str, str]) -> str:
    """What the system calls itself."""
    return release.get("PRETTY_NAME") or {"Darwin": "macOS"}.get(platform.system(), platform.system())


def _other_port(port: int) -> int:
    """A port that people commonly use in place of a taken one."""
    return {80: 8080, 443: 8443}.get(port, port + 1 if port < 65535 else 8443)


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB".replace(".0 GiB", " GiB")
