"""The image that every local image starts from: Debian 13 by debootstrap, for machines without a container registry.

It plays the role of `debian:trixie-slim` and looks the same to a Dockerfile: minimal, with ca-certificates, and with
the package sources in /etc/apt/sources.list.d/debian.sources. The mirror is the machine's own Debian mirror, else
debootstrap's default. Called by scripts/images.py.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from scripts import apt, console
from scripts.process import ROOT, as_root, log_file, logged, logged_or_fail

SUITE = "trixie"
FILES = ROOT / "images" / "base"
BUILD_SECONDS = 900
IMPORT_SECONDS = 300

# Inside the new root: security updates first; a mirror without them is not a reason to fail.
_UPGRADE = """
set -e
export DEBIAN_FRONTEND=noninteractive
apt-get -q update || { sed -i '/^$/,$d' /etc/apt/sources.list.d/debian.sources; apt-get -q update; }
apt-get -q -y dist-upgrade
"""

# Left out of the image: caches, what dpkg-slim.cfg keeps away from later packages, and the devices of debootstrap.
_EXCLUDE = (
    "./var/lib/apt/lists/*",
    "./var/cache/apt/*",
    "./var/cache/debconf/*-old",
    "./var/cache/ldconfig/*",
    "./var/log/*.log",
    "./var/log/apt/*",
    "./usr/share/doc/*/[!c]*",
    "./usr/share/doc/*/c[!o]*",
    "./usr/share/man/*",
    "./usr/share/info/*",
    "./usr/share/locale/*",
    "./dev/*",
    "./proc/*",
    "./sys/*",
    "./tmp/*",
    "./etc/resolv.conf",
    "./etc/hostname",
    "./etc/machine-id",
)


def build(tag: str, labels: dict[str, str]) -> Path:
    """Make the image; returns the path of the log. Raises `console.Failure` with what to do."""
    log = log_file("build-base")
    log.write_bytes(b"")
    if shutil.which("debootstrap") is None:
        apt.install(["debootstrap", "debian-archive-keyring"])
    place = scratch_folder()
    remove(place, log)  # what a run left that had no time to clean up
    try:
        place.mkdir(mode=0o700)
    except FileExistsError:
        console.fail(f"{place} is in the way, and it is not ours.", "Remove it, then run the same command again.")
    try:
        _bootstrap(place / "root", log)
        _import(place / "root", tag, labels, log)
    finally:
        remove(place, log)
    return log


def scratch_folder() -> Path:
    """Where the tree is unpacked: the same place in every run of this checkout, so that leftovers are found.

    In /var/tmp, since debootstrap needs a file system with devices and programs, which /tmp often is not.
    """
    return Path("/var/tmp") / f"modporter-base-{hashlib.sha256(str(ROOT).encode()).hexdigest()[:12]}"  # noqa: S108 - see remove


def remove(place: Path, log: Path) -> None:
    """Remove the folder with what debootstrap mounted in it; one that somebody else made (or a link) stays."""
    if place.is_symlink() or not place.is_dir() or place.stat().st_uid != os.geteuid():
        return
    for mounted in (place / "root" / name for name in ("proc", "sys")):
        if mounted.is_mount():
            logged(as_root(["umount", "--lazy", "--recursive", mounted]), log, timeout_seconds=60)
    logged(as_root(["rm", "-rf", "--one-file-system", place]), log, timeout_seconds=120)


def _bootstrap(root: Path, log: Path) -> None:
    apt.refresh_empty_lists()
    mirror = apt.debian_mirror()
    command = ["env", *(f"{key}={value}" for key, value in apt.proxy().items())]
    command += ["debootstrap", "--variant=minbase", "--include=ca-certificates", SUITE, str(root)]
    if mirror:
        command.append(mirror)
    _run(command, log, "Debian 13 could not be fetched and unpacked.")
    # debootstrap has written the mirror it used into sources.list: the one place to learn it from.
    used = mirror or (root / "etc/apt/sources.list").read_text().split()[1]
    for name, content in _configuration(used).items():
        staged = root.parent / Path(name).name
        staged.write_text(content)
        _run(["install", "-D", "-m", "0644", str(staged), str(root / name)], log, "The base could not be configured.")
    _run(["rm", "-f", str(root / "etc/apt/sources.list")], log, "The base could not be configured.")
    environment = [f"{key}={value}" for key, value in apt.proxy().items()]
    _run(["env", *environment, "chroot", str(root), "sh", "-c", _UPGRADE], log, "Debian 13 could not be updated.")


def _configuration(mirror: str) -> dict[str, str]:
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    common = f"Components: main\nSigned-By: {keyring}\n"
    return {
        "etc/apt/sources.list.d/debian.sources": (
            f"Types: deb\nURIs: {mirror}\nSuites: {SUITE} {SUITE}-updates\n{common}\n"
            f"Types: deb\nURIs: {mirror}-security\nSuites: {SUITE}-security\n{common}"
        ),
        "etc/dpkg/dpkg.cfg.d/slim": (FILES / "dpkg-slim.cfg").read_text(),
        "etc/apt/apt.conf.d/slim": (FILES / "apt-slim.conf").read_text(),
    }


def _import(root: Path, tag: str, labels: dict[str, str], log: Path) -> None:
    """Pack the folder and hand it to the engine; the archive lies beside it, since the engine may be remote to sudo."""
    archive = root.parent / "base.tar"
    _run(
        ["tar", "--create", "--file", str(archive), "--directory", str(root), "--sort=name", "--numeric-owner"]
        + [f"--exclude={pattern}" for pattern in _EXCLUDE]
        + ["."],
        log,
        "The base could not be packed.",
    )
    _run(["chown", str(os.getuid()), str(archive)], log, "The base could not be packed.")
    changes = ['CMD ["bash"]', "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]
    changes += [f"LABEL {key}={value}" for key, value in labels.items()]
    logged_or_fail(
        ["docker", "import", *(word for change in changes for word in ("--change", change)), archive, tag],
        log,
        timeout_seconds=IMPORT_SECONDS,
        sentence="Docker did not take the base image.",
        what_to_do="Check that Docker runs and that the disk is not full.",
    )


def _run(command: list[str], log: Path, sentence: str) -> None:
    logged_or_fail(
        as_root(command),
        log,
        timeout_seconds=BUILD_SECONDS,
        sentence=sentence,
        what_to_do="Check the network and the disk, then run the same command again.",
    )
