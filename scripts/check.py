"""Format, lint, types, imports and configuration, one line a tool: `make check`. Nothing is changed, nothing started.

Every tool comes from .venv with a pinned version. A tool that has nothing to look at here says so.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts import console, dotenv, plugins, venv
from scripts.process import ROOT
from scripts.project import EXAMPLE, LOCAL_IMAGES_FILE, PRODUCTION_FILE
from scripts.venv import VENV

TOOL_SECONDS = 300
# Flow style ({ condition: service_healthy }) is how Compose's own documentation writes short maps.
YAML_RULES = (
    "{extends: default, rules: {line-length: disable, document-start: disable, "
    "braces: {max-spaces-inside: 1}, comments: {min-spaces-from-content: 1}}}"
)
# gixy cannot know these two: our images and upstream's link OpenSSL 3.5, which has the post-quantum group, and
# stub_status listens on a port that only the internal networks reach.
GIXY_EXCEPTIONS = "ssl_ecdh_curve,status_page_exposed"


@dataclass(frozen=True)
class Check:
    """One line of the report: a command that must end with status 0, or the reason why it does not run."""

    name: str
    command: Sequence[str | Path] = ()
    folder: Path = ROOT
    skipped: str = ""


def tracked(pattern: str) -> list[Path]:
    """Files that git knows or would add, by a pattern of git's."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", pattern],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=TOOL_SECONDS,
    ).stdout.splitlines()
    return [ROOT / name for name in sorted(set(listed)) if (ROOT / name).is_file()]


def python_checks() -> list[Check]:
    """Format, lint and types; the types of each package on its own, as they are shipped."""
    ruff = VENV / "bin" / "ruff"
    mypy = VENV / "bin" / "mypy"
    packages = [path.parent for path in venv.packages()]
    return [
        Check("ruff format", [ruff, "format", "--check", "--quiet", "."]),
        Check("ruff check", [ruff, "check", "--quiet", "."]),
        Check("mypy scripts", [mypy, "scripts"]),
        *(Check(f"mypy {package.name}", [mypy, "src"], package) for package in packages),
    ]


def import_checks() -> list[Check]:
    """The layers that each package has written down (import-linter)."""
    return [Check("imports", [VENV / "bin" / "lint-imports", "--config", ROOT / ".importlinter"])]


def file_checks() -> list[Check]:
    """Dockerfiles, shell scripts and YAML."""
    dockerfiles = tracked("*Dockerfile")
    shells = [path for path in tracked("*") if _is_shell(path)]
    yamls = [*tracked("*.yml"), *tracked("*.yaml")]
    tools = VENV / "bin"
    return [
        _if_any("hadolint", [tools / "hadolint", "--no-color", "--failure-threshold", "warning"], dockerfiles),
        _if_any("shellcheck", [tools / "shellcheck"], shells),
        _if_any("yamllint", [tools / "yamllint", "--strict", "-d", YAML_RULES], yamls),
    ]


def _if_any(name: str, command: list[str | Path], files: list[Path]) -> Check:
    return Check(name, [*command, *files]) if files else Check(name, skipped="no such files")


def _is_shell(path: Path) -> bool:
    with path.open("rb") as file:
        first = file.readline(100)
    return first.startswith(b"#!") and first.split(b"/")[-1].split()[-1:] in ([b"sh"], [b"bash"])


def compose_checks() -> list[Check]:
    """The security of the Compose file, and whether Compose itself reads every combination of files."""
    checks = [Check("compose-lint", [VENV / "bin" / "compose-lint", PRODUCTION_FILE])]
    if plugins.COMPOSE in plugins.missing():
        return [*checks, Check("compose config", skipped="docker compose is not installed")]
    for overlay in (None, LOCAL_IMAGES_FILE, "docker-compose.dev.yml"):
        files = [PRODUCTION_FILE, *([overlay] if overlay else [])]
        arguments = [word for file in files for word in ("--file", file)]
        command = ["docker", "compose", "--env-file", ".env.example", *arguments, "config", "--quiet"]
        checks.append(Check(f"compose config {overlay or PRODUCTION_FILE}", command))
    return checks


def nginx_check(scratch: Path) -> Check:
    """gixy on the configuration as NGINX sees it: the template filled in, every include resolved."""
    values = dotenv.values(EXAMPLE.read_text(encoding="utf-8"))
    for source in tracked("nginx/*"):
        text = source.read_text(encoding="utf-8")
        if source.suffix == ".template":
            for name, value in values.items():
                text = text.replace(f"${{{name}}}", value)
        target = (
            scratch / "conf.d" / source.stem
            if source.suffix == ".template"
            else scratch / source.relative_to(ROOT / "nginx")
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text.replace("/etc/nginx/", f"{scratch}/"), encoding="utf-8")
    (scratch / "mime.types").write_text("types {}\n", encoding="utf-8")
    return Check("gixy", [VENV / "bin" / "gixy", "--skips", GIXY_EXCEPTIONS, scratch / "nginx.conf"])


def run(check: Check) -> bool:
    """Run one check and print its line; the tool's own words only when it is not content."""
    if check.skipped:
        console.say(f"skip {check.name}: {check.skipped}")
        return True
    try:
        done = subprocess.run(
            list(map(str, check.command)),
            cwd=check.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            timeout=TOOL_SECONDS,
        )
        good, words = done.returncode == 0, done.stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        good, words = False, str(error)
    console.say(f"{'ok  ' if good else 'FAIL'} {check.name}")
    if not good:
        console.say(words.strip())
    return good


def main() -> int:
    """Run all checks, even after one that fails."""
    groups: list[Callable[[], list[Check]]] = [python_checks, import_checks, file_checks, compose_checks]
    with tempfile.TemporaryDirectory() as scratch:
        checks = [check for group in groups for check in group()] + [nginx_check(Path(scratch))]
        failed = [check.name for check in checks if not run(check)]
    if failed:
        console.say(f"\n{len(failed)} of {len(checks)} checks failed: {', '.join(failed)}")
        return 1
    console.say(f"\n{len(checks)} checks are content.")
    return 0


if __name__ == "__main__":
    console.run(main)
