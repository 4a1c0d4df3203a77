"""Running programs for the other scripts: output into a log under .state/logs, bounded in time, failures explained."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

from scripts import console

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".state"
LOGS = STATE / "logs"
TAIL_LINES = 30
END_SECONDS = 20


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
    command: Sequence[str | Path],
    log: Path,
    *,
    timeout_seconds: float,
    env: Mapping[str, str] | None = None,
    finishes: bool = False,
) -> bool:
    """Run a command, appending what it prints to `log`; True when it ended with status 0 in time.

    Ctrl-C does not reach the command. This script ends it and waits for that, or, with `finishes` (package managers,
    which leave half-configured packages behind), lets it come to its end first; a second Ctrl-C no longer waits.
    """
    with log.open("ab") as sink:
        sink.write(f"$ {' '.join(map(str, command))}\n".encode())
        sink.flush()
        process: subprocess.Popen[bytes] | None = None
        try:
            with _ctrl_c_at_the_end():  # in the middle of it nobody would know of the process
                process = subprocess.Popen(
                    list(map(str, command)),
                    stdin=subprocess.DEVNULL,
                    stdout=sink,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **(env or {})},
                    cwd=ROOT,
                    # A group, not a session: sudo remembers a password for the terminal that it was given on.
                    process_group=0,
                )
            return process.wait(timeout_seconds) == 0
        except FileNotFoundError as missing:
            sink.write(f"{missing}\n".encode())
            return False
        except subprocess.TimeoutExpired:
            sink.write(f"stopped after {timeout_seconds:.0f} s\n".encode())
            end_group(process)
            return False
        except BaseException:
            if finishes and process is not None:
                console.say("     Waiting for the package manager to finish its step, which must not be cut off.")
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout_seconds)
            end_group(process)
            raise


@contextlib.contextmanager
def _ctrl_c_at_the_end() -> Iterator[None]:
    """A Ctrl-C that comes in the body takes effect when the body is over."""
    usual = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(usual):  # nothing would interrupt it
        yield
        return
    pressed: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: pressed.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
    if pressed:
        usual(*pressed[0])


def end_group(process: subprocess.Popen[bytes] | None) -> None:
    """End a process that leads a group, and all that it started: politely, then by force. Waits until it is gone.

    None is a process that never began.
    """
    if process is None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        except PermissionError:  # it runs as root, behind sudo
            output(["sudo", "-n", "kill", f"-{number.value}", "--", f"-{process.pid}"])
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(END_SECONDS)


def logged_or_fail(
    command: Sequence[str | Path],
    log: Path,
    *,
    timeout_seconds: float,
    sentence: str,
    what_to_do: str,
    env: Mapping[str, str] | None = None,
    finishes: bool = False,
) -> None:
    """Like `logged`, but end the script with the log's last lines when the command does not succeed."""
    if not logged(command, log, timeout_seconds=timeout_seconds, env=env, finishes=finishes):
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


def can_be_root() -> bool:
    """Whether steps that need root can be tried here: as root, or through sudo."""
    return os.geteuid() == 0 or shutil.which("sudo") is not None


def unlock_root() -> None:
    """Let sudo ask for its password now, on the terminal, where it is going to. Ends the script without the right."""
    if os.geteuid() == 0:
        return
    refused = "This step needs root, and {} here.", "Run the same command as root, or ask an administrator for it."
    if shutil.which("sudo") is None:
        console.fail(refused[0].format("there is no sudo"), refused[1])
    # `sudo -v` asks even people who may run everything without a password, as long as one of their rules wants it.
    if output(["sudo", "-n", "true"]) is not None:
        return
    with console.held():
        allowed = subprocess.run(["sudo", "-v", "-p", "Your password, for the steps that need root: "], check=False)
    if allowed.returncode:
        console.fail(refused[0].format("sudo does not allow it"), refused[1])


def as_root(command: Sequence[str | Path]) -> list[str]:
    """The command as root: as it is for root, behind sudo for anybody else. Ends the script without the right."""
    unlock_root()
    return [*([] if os.geteuid() == 0 else ["sudo", "-n"]), *map(str, command)]
