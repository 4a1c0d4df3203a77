"""Runs `modporter convert --events` on one jar inside the sandbox and turns its end into an Outcome.

Called by runner.py. Nothing that the child says is believed beyond its form: lines that are not events are passed over.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import structlog

import converter
from ai_engine.conversions.outcome import Failed, Outcome, Stage, Succeeded
from ai_engine.sandbox.jail import SETUP_FAILED_EXIT_CODE
from ai_engine.sandbox.limits import MEBIBYTE, Limits
from ai_engine.sandbox.run import Command, Ended, run_jailed
from ai_engine.settings import Settings

REFUSED_EXIT_CODE, GATE_FAILED_EXIT_CODE = 3, 4
TOOL_MISSING = "tool_missing"
# Where the image keeps Mojang's validator and the id tables; the converter reads these variables itself.
TOOL_VARIABLES = ("MODPORTER_CREATOR_TOOLS", "MODPORTER_VANILLA_TABLES")
STAGES = frozenset(get_args(Stage))
MAX_DETAIL_CHARACTERS = 500
BYTES_PER_MB = 1_000_000
DISK_BESIDE_JAR_BYTES = 2048 * MEBIBYTE

log = structlog.stdlib.get_logger("converter")

OnProgress = Callable[[Stage, float], None]


class ConverterUnavailableError(Exception):
    """The jail could not be built, or a tool of the converter is missing: our fault, not the jar's."""


@dataclass(frozen=True, slots=True)
class SandboxedConverter:
    """The converter's command line with its limits. Tests put another program in its place."""

    limits: Limits
    max_jar_bytes: int = 100_000_000
    argv: Sequence[str] = (f"{sys.prefix}/bin/modporter",)
    read_paths: Sequence[str] = ()
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_settings(cls, settings: Settings) -> "SandboxedConverter":
        environment = {name: os.environ[name] for name in TOOL_VARIABLES if name in os.environ}
        max_jar_bytes = settings.max_upload_mb * BYTES_PER_MB
        return cls(
            limits=Limits(
                wall_seconds=settings.conversion_timeout_seconds,
                cpu_seconds=settings.conversion_timeout_seconds,
                memory_bytes=settings.conversion_memory_mb * MEBIBYTE,
                disk_bytes=max_jar_bytes + DISK_BESIDE_JAR_BYTES,
            ),
            max_jar_bytes=max_jar_bytes,
            # In a source checkout the converter and its node_modules lie outside the environment.
            read_paths=(str(Path(converter.__file__).parents[2]), *environment.values()),
            environment=environment,
        )

    async def convert(self, jar: Path, out_dir: Path, on_progress: OnProgress) -> Outcome:
        """Convert `jar`, beside `out_dir` in a directory of its own. Raises ConverterUnavailableError, OSError."""
        events = _Events(on_progress)
        command = Command(
            argv=[
                *(*self.argv, "convert", str(jar), "-o", str(out_dir), "--events"),
                *("--max-jar-bytes", str(self.max_jar_bytes)),
            ],
            work_dir=out_dir.parent,
            read_paths=self.read_paths,
            environment=self.environment,
        )
        ended = await run_jailed(command, self.limits, events.on_line)
        outcome = judge(ended, events, self.limits)
        if isinstance(outcome, Failed):
            log.info(
                "no add-on",
                code=outcome.code,
                exit_code=ended.exit_code,
                overrun=ended.overrun,
                garbage_lines=events.garbage_lines,
                stderr=ended.stderr_tail[-2000:],
            )
        return outcome


class _Events:
    """Understands the child's lines; remembers how it said that it ended."""

    def __init__(self, on_progress: OnProgress) -> None:
        self._on_progress = on_progress
        self.completed = False
        self.failed: Failed | None = None
        self.garbage_lines = 0

    def on_line(self, line: bytes) -> None:
        try:
            event = json.loads(line)
            self._on_event(event["event"], event)
        except (ValueError, TypeError, KeyError, RecursionError):
            self.garbage_lines += 1

    def _on_event(self, kind: str, event: dict[str, Any]) -> None:
        if kind == "progress":
            if event["stage"] not in STAGES:
                raise ValueError("unknown stage")
            self._on_progress(event["stage"], min(max(float(event["progress"]), 0.0), 1.0))
        elif kind == "completed":
            self.completed = True
        elif kind == "failed":
            code, detail = event["code"], event["detail"]
            if not (isinstance(code, str) and code.isidentifier() and len(code) <= 64 and isinstance(detail, str)):
                raise ValueError("not a failure")
            self.failed = Failed(code, printable(detail))
        else:
            raise ValueError("unknown event")


def judge(ended: Ended, events: _Events, limits: Limits) -> Outcome:
    """What an end means. Raises ConverterUnavailableError when the jar was never given a chance."""
    if ended.exit_code == SETUP_FAILED_EXIT_CODE:
        raise ConverterUnavailableError(ended.stderr_tail)
    if events.failed and events.failed.code == TOOL_MISSING:
        raise ConverterUnavailableError(events.failed.detail)
    if overrun := _overrun(ended):
        return Failed(overrun, _overrun_detail(overrun, limits))
    if ended.exit_code in (REFUSED_EXIT_CODE, GATE_FAILED_EXIT_CODE) and events.failed:
        return events.failed
    if ended.exit_code == 0 and events.completed:
        return Succeeded()
    return Failed("converter_crashed", f"The converter broke on this jar: {_how(ended, events)}.")


def _overrun(ended: Ended) -> str | None:
    if ended.overrun:
        return ended.overrun
    if ended.exit_code == -signal.SIGXCPU:
        return "timed_out"
    # Nobody but the kernel, out of memory, sends SIGKILL without an overrun; MemoryError is the data limit.
    if ended.exit_code == -signal.SIGKILL or _last_line(ended).startswith("MemoryError"):
        return "out_of_memory"
    return None


def _overrun_detail(overrun: str, limits: Limits) -> str:
    memory_mib, disk_mib = limits.memory_bytes // MEBIBYTE, limits.disk_bytes // MEBIBYTE
    return {
        "timed_out": f"The conversion took longer than the {limits.wall_seconds:g} s it may take and was stopped.",
        "out_of_memory": f"The conversion needed more than {memory_mib} MiB of memory and was stopped.",
        "too_many_processes": "The conversion started more processes than it may and was stopped.",
        "disk_full": f"The conversion wrote more than {disk_mib} MiB and was stopped.",
        "too_much_output": "The conversion said more than it may and was stopped.",
    }[overrun]


def _how(ended: Ended, events: _Events) -> str:
    if ended.exit_code < 0:
        return f"killed by {signal.Signals(-ended.exit_code).name}"
    if ended.exit_code == 0:
        return "it ended without saying that it had finished"
    if events.failed:
        return events.failed.detail.rstrip(".")
    return _last_line(ended)[:200] or f"exit code {ended.exit_code}"


def _last_line(ended: Ended) -> str:
    return ended.stderr_tail.rpartition("\n")[2]


def printable(text: str) -> str:
    """Fit for a log, a page and a Postgres text column: no control characters, no lone surrogates, not endless."""
    known = text.encode(errors="replace").decode()
    return "".join(character if character.isprintable() else " " for character in known)[:MAX_DETAIL_CHARACTERS]
