"""What the machine's own apt knows: its mirror, its proxy, and how to install packages. Debian and Ubuntu only.

Used by engine.py (packages), plugins.py and base_image.py (the mirror to fetch Debian 13 from). No address is written
here: mirrors come from the machine's configuration, or are the defaults of Debian's own tools.
"""

from __future__ import annotations

import functools
import os
import platform
from collections.abc import Sequence
from pathlib import Path

from scripts import console
from scripts.process import as_root, log_file, logged, logged_or_fail, output, relative

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
UPDATE_SECONDS = 300
INSTALL_SECONDS = 900


@functools.cache
def os_release() -> dict[str, str]:
    """The fields of /etc/os-release, or nothing (macOS)."""
    try:
        lines = Path("/etc/os-release").read_text().splitlines()
    except OSError:
        return {}
    return {key: value.strip().strip('"') for key, _, value in (line.partition("=") for line in lines) if key}


def is_debian_like() -> bool:
    """Whether this is Debian or Ubuntu (or says that it is like them)."""
    release = os_release()
    return platform.system() == "Linux" and bool(
        {"debian", "ubuntu"} & {release.get("ID", ""), *release.get("ID_LIKE", "").split()}
    )


def refresh_empty_lists() -> None:
    """Fetch the package lists where the machine has none: cloud and CI images often come without."""
    if output(["apt-get", "indextargets"]):
        return
    with console.step("Package lists: fetch them, since this machine has none") as step:
        if not logged(as_root(["apt-get", "update", "-q"]), log_file("apt"), timeout_seconds=UPDATE_SECONDS):
            step.note(f"not all came, see {relative(log_file('apt'))}")


def configured_suite() -> str | None:
    """The web address of this system's own suite (.../dists/noble/), out of apt's configuration alone: no lists needed.

    None where apt reads from something else, such as a disc.
    """
    form = "$(RELEASE)|$(REPO_URI)dists/$(RELEASE)/"
    listing = output(["apt-get", "indextargets", "--no-release-info", "--format", form, "Created-By: Packages"])
    found = [line.split("|") for line in (listing or "").splitlines()]
    own = [address for release, address in found if release == os_release().get("VERSION_CODENAME")]
    # A derivative names the suites of its parent, and then the first one is as good as any.
    addresses = own or [address for _, address in found]
    return next((address for address in addresses if address.startswith("http")), None)


def debian_mirror() -> str | None:
    """The address of the Debian archive that this machine uses; None where it uses another one.

    Reads the package lists, which tell Debian's archive from others: call `refresh_empty_lists` before.
    """
    listing = output(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)|$(ORIGIN)|$(LABEL)|$(COMPONENT)", "Created-By: Packages"]
    )
    for line in (listing or "").splitlines():
        address, origin, label, component = line.split("|")
        if (origin, label, component) == ("Debian", "Debian", "main"):
            return address.rstrip("/")
    return None


def proxy() -> dict[str, str]:
    """The proxies that apt or the environment are configured with, as the variables that programs read."""
    found = {
        name: value
        for name in ("http_proxy", "https_proxy", "no_proxy")
        if (value := os.environ.get(name) or os.environ.get(name.upper()))
    }
    settings = output(["apt-config", "shell", "HTTP", "Acquire::http::Proxy", "HTTPS", "Acquire::https::Proxy"])
    for line in (settings or "").splitlines():
        name, _, value = line.partition("=")
        if value.strip("'").startswith("http"):
            found.setdefault(f"{name.lower()}_proxy", value.strip("'"))
    return found


def is_installed(package: str) -> bool:
    """Whether dpkg has the package installed."""
    return output(["dpkg-query", "--show", "--showformat", "${db:Status-Status}", package]) == "installed"


def install(packages: Sequence[str]) -> None:
    """Install packages from the machine's own sources, after one update of the lists; fails with what to do."""
    log = log_file("apt")
    # What an earlier run left half-configured (the power went, the machine was stopped) would make apt refuse to work.
    noninteractive = ["env", "DEBIAN_FRONTEND=noninteractive"]
    repair = as_root([*noninteractive, "dpkg", "--configure", "-a"])
    logged(repair, log, timeout_seconds=INSTALL_SECONDS, finishes=True)
    # A list that cannot be refreshed (one broken third-party source) need not stop the installation.
    logged(as_root(["apt-get", "update", "-q"]), log, timeout_seconds=UPDATE_SECONDS)
    command = [*noninteractive, "apt-get", "install", "-y", "-q", "--no-install-recommends"]
    logged_or_fail(
        as_root([*command, "-o", "DPkg::Lock::Timeout=120", *packages]),
        log,
        timeout_seconds=INSTALL_SECONDS,
        sentence=f"apt-get could not install {', '.join(packages)}.",
        what_to_do="Check the network and the disk, then run the same command again.",
        finishes=True,
    )
