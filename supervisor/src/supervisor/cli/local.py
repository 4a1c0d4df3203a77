"""`supervisor run, plan, check, hash-password`: what works without a running supervisor."""

from __future__ import annotations

import argparse
import getpass
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from supervisor.cli import ends, terminal
from supervisor.cli.ends import End

if TYPE_CHECKING:
    from supervisor.policies import PolicyError
    from supervisor.ports import CycleReport
    from supervisor.settings import SupervisorSettings

SHORTEST_PASSWORD = 8


def run(_arguments: argparse.Namespace) -> int:
    """Until SIGTERM or Ctrl-C."""
    settings = _settings()
    from common.logging import configure_logging
    from supervisor import bootstrap
    from supervisor.policies import PolicyError

    configure_logging(settings)
    try:
        bootstrap.run(settings)
    except PolicyError as error:
        raise _bad_policies(settings, error) from error
    return ends.OK


def plan(arguments: argparse.Namespace) -> int:
    """One cycle on a runtime that changes nothing. NO when it would act."""
    settings = _settings()
    _log_to_stderr()
    from supervisor import bootstrap
    from supervisor.policies import PolicyError

    try:
        report = bootstrap.plan_once(settings)
    except PolicyError as error:
        raise _bad_policies(settings, error) from error
    if not report.snapshot.is_complete:
        told = " ".join(report.snapshot.problems) or "Docker does not answer."
        raise End(ends.UNREACHABLE, "docker_unreachable", told)
    if arguments.json:
        terminal.say_json(_as_json(report))
    else:
        _show(report)
    return ends.OK if report.plan.is_empty else ends.NO


def _bad_policies(settings: SupervisorSettings, error: PolicyError) -> End:
    lines = "\n".join(f"{settings.policies_file.name}: {problem}" for problem in error.problems)
    return End(ends.NO, "bad_policies", lines)


def _log_to_stderr() -> None:
    """What is written to stdout is the answer, and nothing else."""
    import structlog

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger("warning"),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _as_json(report: CycleReport) -> dict[str, Any]:
    return {
        "services": {name: asdict(verdict) for name, verdict in report.plan.verdicts.items()},
        "actions": [{"kind": type(action).__name__, **asdict(action)} for action in report.plan.actions],
        "problems": list(report.snapshot.problems),
    }


def _show(report: CycleReport) -> None:
    head = ("SERVICE", "READY", "RUNNING", "WANTED", "WHY")
    rows = [
        (name, str(verdict.ready), str(verdict.running), str(verdict.desired), verdict.sentence)
        for name, verdict in sorted(report.plan.verdicts.items())
    ]
    terminal.say(terminal.table(head, rows))
    if report.plan.is_empty:
        terminal.say("\nNothing would be done.")
    for index, action in enumerate(report.plan.actions, start=1):
        lead = "\n" if index == 1 else ""
        kind = terminal.painted(type(action).__name__, terminal.BOLD)
        terminal.say(f"{lead}{index}. {kind} {action.service} ({action.cause}): {action.why}")
    for problem in report.snapshot.problems:
        terminal.say(f"{terminal.painted('problem', terminal.YELLOW)}  {problem}")


def check(arguments: argparse.Namespace) -> int:
    """The settings and the policies that they name, or one file. NO when something is wrong with them."""
    problems: list[tuple[str, str]] = []
    settings, path = None, arguments.file
    if path is None:
        try:
            settings = _settings()
            path = settings.policies_file
        except End as end:
            problems += [("settings", line) for line in end.sentence.splitlines()]
            path = Path(os.environ.get("POLICIES_FILE") or "/etc/supervisor/policies.yml")
    problems += [(path.name, text) for text in _policy_problems(path, settings)]
    if arguments.json:
        told = [{"source": source, "text": text} for source, text in problems]
        terminal.say_json({"is_valid": not problems, "problems": told})
    else:
        for source, text in problems:
            terminal.say(f"{terminal.painted(source, terminal.RED)}: {text}")
        if not problems:
            terminal.say(f"{path} is valid." if arguments.file else f"The settings and {path} are valid.")
    return ends.NO if problems else ends.OK


def _policy_problems(path: Path, settings: SupervisorSettings | None) -> list[str]:
    """Of the file alone; with the settings also whether its services exist, and what was saved over the API."""
    from supervisor import policies

    try:
        if settings is None:
            policies.load(path.read_text(encoding="utf-8"))
            return []
        _log_to_stderr()
        from supervisor import bootstrap
        from supervisor.adapters.policy_store import PolicyStore

        return PolicyStore(path, settings.data_dir, bootstrap.known_services(settings)).problem.splitlines()
    except policies.PolicyError as error:
        return list(error.problems)
    except (OSError, UnicodeDecodeError) as error:
        return [f"cannot be read: {error}"]


def hash_password(arguments: argparse.Namespace) -> int:
    """The password is read from stdin, or asked for twice on a terminal, and never shown."""
    from supervisor.api.auth import HASHER

    password = _asked_for() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    if len(password) < SHORTEST_PASSWORD:
        raise End(ends.USAGE, "short_password", f"The password must have {SHORTEST_PASSWORD} characters or more.")
    hashed = HASHER.hash(password)
    terminal.say_json({"hash": hashed}) if arguments.json else terminal.say(hashed)
    return ends.OK


def _asked_for() -> str:
    password = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != password:
        raise End(ends.USAGE, "other_password", "The two are not the same.")
    return password


def _settings() -> SupervisorSettings:
    """From the environment and the secret files. Raises End with one line a problem."""
    from pydantic import ValidationError

    from supervisor.settings import SupervisorSettings

    try:
        return SupervisorSettings()  # type: ignore[call-arg]  # the environment brings the rest
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, each['loc'])).upper() or 'settings'}: {each['msg'].removeprefix('Value error, ')}"
            for each in error.errors(include_url=False, include_input=False)
        ]
        raise End(ends.USAGE, "bad_settings", "\n".join(lines)) from error
