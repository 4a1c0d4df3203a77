"""The command `modporter`: convert and inspect, for people and (with --events) for the job worker.

Exit codes: 0 converted, 1 unexpected, 2 usage, 3 the jar was refused, 4 a gate failed or cannot run. Progress goes to
stderr, results to stdout; with --events stdout carries JSON lines and nothing else.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from converter.errors import BadJar, GateFailed, ToolMissing
from converter.inspection import inspect_jar
from converter.ledger import OUTCOMES
from converter.options import Limits, Options
from converter.pipeline import Progress, Result, convert
from converter.version import VERSION

OK, UNEXPECTED, USAGE, REFUSED, GATE = 0, 1, 2, 3, 4
_COLOURS = {"converted": "32", "approximated": "33", "unsupported": "35", "ignored": "90", "error": "31"}
_MEANINGS = {
    "converted": "carried over as it is",
    "approximated": "carried over with a difference",
    "unsupported": "not carried over",
    "ignored": "not needed in Bedrock",
    "error": "broken in the mod",
}
_SUFFIX = ".mcaddon"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = _parser().parse_args(arguments)
    events = bool(getattr(options, "events", False))
    try:
        if not options.jar.is_file():
            return _fail(events, USAGE, "no_such_file", f"{options.jar} is no file.")
        return _convert(options) if options.command == "convert" else _inspect(options)
    except BadJar as bad:
        return _fail(events, REFUSED, bad.code, bad.detail)
    except GateFailed as failed:
        named = "\n".join(f"  {finding}" for finding in failed.findings[:20])
        return _fail(events, GATE, f"gate_{failed.gate}", f"The {failed.gate} gate refused the add-on:\n{named}")
    except ToolMissing as missing:
        return _fail(events, GATE, "tool_missing", str(missing))
    except KeyboardInterrupt:
        return _fail(events, UNEXPECTED, "interrupted", "Interrupted; nothing was kept.")
    except OSError as error:
        return _fail(events, UNEXPECTED, "io_error", f"{error.filename or ''}: {error.strerror or error}".lstrip(": "))
    except Exception as error:
        traceback.print_exc()
        return _fail(events, UNEXPECTED, "internal_error", f"The converter failed: {type(error).__name__}: {error}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="modporter", description="Turns a Minecraft Java mod into a Bedrock add-on.")
    parser.add_argument("--version", action="version", version=f"modporter {VERSION}")
    commands = parser.add_subparsers(dest="command", required=True)
    convert_command = commands.add_parser("convert", help="convert a mod's .jar", allow_abbrev=False)
    convert_command.add_argument("jar", type=Path)
    convert_command.add_argument(
        "-o",
        "--output",
        type=Path,
        help="an .mcaddon file, or a directory for the add-on, ledger, result and previews (default: <jar>.mcaddon)",
    )
    convert_command.add_argument("--events", action="store_true", help="JSON lines on stdout, for programs")
    convert_command.add_argument(
        "--no-mojang-gate", action="store_true", help="do without Mojang's validator, which needs Node.js"
    )
    convert_command.add_argument("--max-jar-bytes", type=int, metavar="N", help="refuse a larger jar")
    inspect_command = commands.add_parser("inspect", help="say which mod a .jar is, without converting it")
    inspect_command.add_argument("jar", type=Path)
    inspect_command.add_argument("--json", action="store_true", help="as a JSON object")
    return parser


def _convert(options: argparse.Namespace) -> int:
    target: Path = options.output or Path(options.jar.stem + _SUFFIX)
    limits = Limits() if options.max_jar_bytes is None else Limits(jar_bytes=options.max_jar_bytes)
    settings = Options(limits=limits, mojang_gate=not options.no_mojang_gate)
    report = _Report(options.events)
    if target.suffix != _SUFFIX:
        result = convert(options.jar, target, options=settings, on_progress=report.progress)
        addon = result.addon
    else:
        with tempfile.TemporaryDirectory(prefix="modporter-") as scratch:
            result = convert(options.jar, Path(scratch), options=settings, on_progress=report.progress)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(result.addon, target)
        addon = target
    report.completed(result, addon)
    return OK


def _inspect(options: argparse.Namespace) -> int:
    summary = asdict(inspect_jar(options.jar))
    if options.json:
        print(json.dumps(summary, ensure_ascii=False))
    else:
        for name, value in summary.items():
            print(f"{name:8} {value}")
    return OK


class _Report:
    """Tells of one conversion: events for programs, or a line of progress and a table for people."""

    def __init__(self, events: bool) -> None:
        self._events = events
        self._redraws = not events and sys.stderr.isatty()
        self._stage = ""

    def progress(self, now: Progress) -> None:
        if self._events:
            _event(event="progress", stage=now.stage, progress=round(now.progress, 4))
        elif self._redraws:
            filled = round(now.progress * 30)
            bar = "#" * filled + "." * (30 - filled)
            print(f"\r{now.stage:12} [{bar}] {now.progress:4.0%}", end="", file=sys.stderr, flush=True)
        elif now.stage != self._stage:
            print(now.stage, file=sys.stderr, flush=True)
        self._stage = now.stage

    def completed(self, result: Result, addon: Path) -> None:
        if self._events:
            _event(event="completed")
            return
        if self._redraws:
            print(file=sys.stderr)
        print(_table(result, addon, colours=sys.stdout.isatty()))


def _table(result: Result, addon: Path, *, colours: bool) -> str:
    mod, gates = result.summary["mod"], result.summary["gates"]
    lines = [f"{mod['name']} {mod['version']} ({mod['loader']})", ""]
    for outcome in OUTCOMES:
        name = f"\033[{_COLOURS[outcome]}m{outcome:12}\033[0m" if colours else f"{outcome:12}"
        lines.append(f"  {name} {result.coverage[outcome]:6}  {_MEANINGS[outcome]}")
    lines.append(f"  {'total':12} {result.coverage['total']:6}  files and registry ids of the jar")
    mojang = gates["mojang"]
    verdict = f"passed, {len(mojang['findings'])} warnings" if mojang["ran"] else "not run"
    lines += ["", f"gates: cross-references passed; Mojang's validator {verdict}"]
    lines.append(f"{addon} ({result.summary['addon']['size_bytes']:,} bytes)")
    return "\n".join(lines)


def _fail(events: bool, code: int, name: str, detail: str) -> int:
    if events:
        _event(event="failed", code=name, detail=detail)
    else:
        print(f"\nmodporter: {detail}", file=sys.stderr)
    return code


def _event(**fields: Any) -> None:
    print(json.dumps(fields, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    sys.exit(main())
