"""Makes this machine's browsers and tools accept the local certificate: `make trust`; `make untrust` takes it back.

Installs the local CA into the system's store (Debian and Ubuntu, macOS) and, where certutil is there, into the NSS
databases that Chromium and Firefox use. The CA can only vouch for DOMAIN, localhost and loopback addresses.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from scripts import console, project, tls
from scripts.process import as_root, log_file, logged, relative

NICKNAME = "ModPorter local CA"
SYSTEM_FILE = Path("/usr/local/share/ca-certificates/modporter-local-ca.crt")
MAC_KEYCHAIN = "/Library/Keychains/System.keychain"
STORE_SECONDS = 60


def main() -> int:
    """Install (or with --undo remove) the CA everywhere, and say what was done."""
    parser = argparse.ArgumentParser(prog="scripts.trust", description="Install the local CA.")
    parser.add_argument("--undo", action="store_true", help="remove it again")
    undo = parser.parse_args().undo
    installation = project.load()
    ca = tls.local_files(installation.secrets_dir).ca
    if not tls.is_local(installation):
        console.fail("TLS_CERT is a certificate of your own; there is no local CA to trust.", "Nothing to do.")
    if not ca.exists():
        console.fail("There is no local CA yet.", "Run `make init` or `make up` first.")
    done = [*_system_store(ca, undo=undo), *_nss_databases(ca, undo=undo)]
    for sentence in done:
        console.say(sentence)
    if not done:
        console.fail(
            "This system has no certificate store that is known here.",
            f"Import {relative(ca)} as an authority in your browser's certificate settings.",
        )
    if not undo:
        console.say("Restart your browser. `make untrust` undoes this.")
    return 0


def _system_store(ca: Path, *, undo: bool) -> list[str]:
    if platform.system() == "Darwin":
        if undo:
            _run(as_root(["security", "delete-certificate", "-c", NICKNAME, MAC_KEYCHAIN]))
            return [f"removed the CA from {MAC_KEYCHAIN}"]
        _run(as_root(["security", "add-trusted-cert", "-d", "-r", "trustRoot", "-k", MAC_KEYCHAIN, str(ca)]))
        return [f"added the CA to {MAC_KEYCHAIN}"]
    if shutil.which("update-ca-certificates") is None:
        return []
    if undo:
        _run(as_root(["rm", "-f", str(SYSTEM_FILE)]))
        _run(as_root(["update-ca-certificates", "--fresh"]))
        return [f"removed {SYSTEM_FILE} and updated the system's store"]
    _run(as_root(["install", "-m", "0644", "-D", str(ca), str(SYSTEM_FILE)]))
    _run(as_root(["update-ca-certificates"]))
    return [f"copied the CA to {SYSTEM_FILE} and updated the system's store (curl, Python, git)"]


def _nss_databases(ca: Path, *, undo: bool) -> list[str]:
    """Chromium on Linux and Firefox everywhere have stores of their own."""
    if shutil.which("certutil") is None:
        if platform.system() != "Linux":
            return []
        return ["(no certutil here: for Chromium and Firefox install libnss3-tools and repeat, or import it by hand)"]
    done: list[str] = []
    for folder in _nss_folders():
        database = f"sql:{folder}"
        logged(["certutil", "-D", "-d", database, "-n", NICKNAME], log_file("trust"), timeout_seconds=STORE_SECONDS)
        if not undo:
            _run(["certutil", "-A", "-d", database, "-n", NICKNAME, "-t", "C,,", "-i", str(ca)])
        done.append(f"{'removed the CA from' if undo else 'added the CA to'} {folder}")
    return done


def _nss_folders() -> list[Path]:
    chromium = Path.home() / ".pki" / "nssdb"
    if not chromium.exists():
        chromium.mkdir(parents=True, mode=0o700)
        _run(["certutil", "-N", "-d", f"sql:{chromium}", "--empty-password"])
    profiles = [
        Path.home() / ".mozilla" / "firefox",
        Path.home() / "snap" / "firefox" / "common" / ".mozilla" / "firefox",
        Path.home() / "Library" / "Application Support" / "Firefox" / "Profiles",
    ]
    return [chromium, *(found.parent for place in profiles for found in sorted(place.glob("*/cert9.db")))]


def _run(command: Sequence[str]) -> None:
    log = log_file("trust")
    try:
        with log.open("ab") as sink:
            # Standard input stays the user's: macOS may ask for a password of its own.
            subprocess.run(command, check=True, timeout=STORE_SECONDS, stdout=sink, stderr=subprocess.STDOUT)
    except (OSError, subprocess.SubprocessError):
        console.fail(f"`{' '.join(command)}` did not succeed.", f"Its messages are in {relative(log)}.")


if __name__ == "__main__":
    console.run(main)
