"""Running programs for the other scripts: output into a log under .state/logs, bounded in time, failures explained."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from scripts import console

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".state"
LOGS = STATE / "logs"
TAIL_LINES = 30


def log_file(name: str) -> Path:
    """The path of .state/logs/<name>.log; its folder exists afterwards."""
    LOGS.mkdir(parents=True, exist_ok=True)
    return LOGS / f"{name}.log"


def tail(path: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log file, for showing under a failure."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""


def relative(path: Path) -> str:
    """The path as a user in the repository root would type it."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def logged(
    command: Sequence[str | Path], log: Path, *, timeout_seconds: float, env: Mapping[str, str] | None = None
) -> bool:
    """Run a command, appending what it prints to `log`; True when it ended with status 0 in time."""
    with log.open("ab") as sink:
        sink.write(f"$ {' '.join(map(str, command))}\n".encode())
        sink.flush()
        try:
            done = subprocess.run(
                list(map(str, command)),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                timeout=timeout_seconds,
                env={**os.environ, **(env or {})},
                cwd=ROOT,
                check=False,
            )
        except FileNotFoundError as missing:
            sink.write(f"{missing}\n".encode())
            return False
        except subprocess.TimeoutExpired:
            sink.write(f"stopped after {timeout_seconds:.0f} s\n".encode())
            return False
    return done.returncode == 0


def logged_or_fail(
    command: Sequence[str | Path],
    log: Path,
    *,
    timeout_seconds: float,
    sentence: str,
    what_to_do: str,
    env: Mapping[str, str] | None = None,
) -> None:
    """Like `logged`, but end the script with the log's last lines when the command does not succeed."""
    if not logged(command, log, timeout_seconds=timeout_seconds, env=env):
        console.say(tail(log))
        console.fail(sentence, f"{what_to_do} The whole log is {relative(log)}.")


def output(command: Sequence[str | Path], *, timeout_seconds: float = 15) -> str | None:
    """What a command prints on stdout, stripped; None when it fails, is missing or takes too long."""
    try:
        done = subprocess.run(
            list(map(str, command)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def as_root(command: Sequence[str | Path]) -> list[str]:
    """The command as root: as it is for root, behind sudo for anybody else; ends the script when there is no sudo."""
    words = list(map(str, command))
    if os.geteuid() == 0:
        return words
    if shutil.which("sudo") is None:
        console.fail("This step needs root, and there is no sudo here.", "Run the same command as root.")
    return ["sudo", *words]
