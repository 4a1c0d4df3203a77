"""The commands, their options, and how each ends. Called by __main__.py."""

from __future__ import annotations

import argparse
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path

from supervisor.cli import ends, terminal
from supervisor.cli.ends import End

DESCRIPTION = "Keeps the stack alive, scales it, deploys to it, and says why."
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(s|m|h|d)?")
_SECONDS = {None: 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


def run(arguments: Sequence[str]) -> int:
    """Carry a command line out; returns the exit code."""
    options = parser(wants_simulate="simulate" in arguments).parse_args(arguments)
    try:
        return _carried_out(options)
    except End as end:
        if getattr(options, "json", False):
            terminal.say_json({"error": {"code": end.code, "detail": end.sentence}})
        terminal.complain(end.sentence)
        return end.status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read has seen enough, such as `head`; what is still in the buffer must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ends.OK
    except Exception:
        traceback.print_exc()
        return ends.UNEXPECTED


def _carried_out(options: argparse.Namespace) -> int:
    module, _, name = options.carried_out_by.partition(":")
    function: Callable[[argparse.Namespace], int] = getattr(import_module(module), name)
    return function(options)


def parser(*, wants_simulate: bool = False) -> argparse.ArgumentParser:
    """All commands. That of `simulate` has its options only when it is wanted: they cost imports."""
    top = argparse.ArgumentParser(
        prog="supervisor",
        description=DESCRIPTION,
        epilog=ends.TEXT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_local(commands, wants_simulate=wants_simulate)
    _add_reading(commands)
    _add_changing(commands)
    return top


Subparsers = argparse._SubParsersAction  # the standard library has no public name for it


def _add_local(commands: Subparsers[argparse.ArgumentParser], *, wants_simulate: bool) -> None:
    _command(commands, "run", "supervisor.cli.local:run", "look after the stack until told to stop")
    plan = _command(commands, "plan", "supervisor.cli.local:plan", "look once, and print what would be done")
    _json(plan)
    check = _command(commands, "check", "supervisor.cli.local:check", "validate the settings and the policies")
    check.add_argument("file", nargs="?", type=Path, help="only this policies.yml, without the settings")
    _json(check)
    simulate_text = "replay metrics against a policy"
    if wants_simulate:
        import_module("supervisor.cli.simulate").add_parser(commands)
    else:
        commands.add_parser("simulate", help=simulate_text)
    hashing = _command(
        commands, "hash-password", "supervisor.cli.local:hash_password", "read a password, and print its argon2 hash"
    )
    _json(hashing)


def _add_reading(commands: Subparsers[argparse.ArgumentParser]) -> None:
    status = _remote(commands, "status", "supervisor.cli.show:status", "show all services, or one with its replicas")
    status.add_argument("service", nargs="?", default="")
    history = _remote(commands, "history", "supervisor.cli.show:history", "show what happened, newest first")
    history.add_argument(
        "what", nargs="?", choices=("decisions", "incidents", "rollouts", "audit"), default="decisions"
    )
    history.add_argument("--service", default="", help="only of this service")
    history.add_argument("--limit", type=int, default=20, metavar="N", help="so many (default: 20)")
    history.add_argument("--actions", action="store_true", help="only decisions that did something")
    history.add_argument("--open", action="store_true", help="only incidents that are open")
    history.add_argument("--refused", action="store_true", help="only what was refused, of the audit")
    history.add_argument("--follow", "-f", action="store_true", help="go on with what happens, until interrupted")


def _add_changing(commands: Subparsers[argparse.ArgumentParser]) -> None:
    scale = _changing(commands, "scale", "set the number of replicas, and keep it for a time")
    scale.add_argument("replicas", type=int)
    scale.add_argument(
        "--hold", type=duration, metavar="TIME", help="leave it so for 90s, 10m, 2h (default: the policy's)"
    )
    for name, text in (
        ("restart", "drain a replica, and start it again"),
        ("drain", "take a replica out of the load balancer until resumed"),
    ):
        _changing(commands, name, text).add_argument("replica", help="its name, number, or the beginning of its id")
    deploy = _changing(commands, "deploy", "roll an image out, one replica after the other")
    deploy.add_argument("image", help="such as modporter/backend:2026-11-21")
    rollback = _changing(commands, "rollback", "end the running rollout, or go back to the image before")
    for command in (deploy, rollback):
        command.add_argument("--follow", "-f", action="store_true", help="wait for the end; 1 when it was taken back")
    pause = _changing(commands, "pause", "no scaling down (in), no scaling up (out), or nothing at all, for a time")
    pause.add_argument("direction", nargs="?", choices=("in", "out", "all"), default="all")
    pause.add_argument("--for", type=duration, default=3_600.0, dest="seconds", metavar="TIME", help="(default: 1h)")
    _changing(commands, "resume", "end pauses, the manual hold, drains and quarantines")


def _changing(commands: Subparsers[argparse.ArgumentParser], name: str, text: str) -> argparse.ArgumentParser:
    command = _remote(commands, name, "supervisor.cli.operate:operate", text)
    command.add_argument("service")
    return command


def _remote(
    commands: Subparsers[argparse.ArgumentParser], name: str, carried_out_by: str, text: str
) -> argparse.ArgumentParser:
    command = _command(commands, name, carried_out_by, text)
    command.add_argument("--url", help="of the supervisor (SUPERVISOR_URL; default: http://127.0.0.1:8090)")
    command.add_argument(
        "--token-file",
        type=Path,
        metavar="FILE",
        help="(SUPERVISOR_TOKEN_FILE; default: /run/secrets/supervisor_api_token)",
    )
    _json(command)
    return command


def _command(
    commands: Subparsers[argparse.ArgumentParser], name: str, carried_out_by: str, text: str
) -> argparse.ArgumentParser:
    command = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=ends.TEXT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.set_defaults(carried_out_by=carried_out_by)
    return command


def _json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print JSON, for programs")


def duration(text: str) -> float:
    """Seconds of 90, 90s, 10m, 2h or 1d. Raises ArgumentTypeError."""
    found = _DURATION.fullmatch(text.strip())
    seconds = float(found[1]) * _SECONDS[found[2]] if found else 0.0
    if seconds <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration such as 90s, 10m, 2h")
    return seconds
