"""One stage of `make test`: runs pytest, shows where it is, keeps its log and its results. Used by test.py."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import threading
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from scripts import console
from scripts.process import ROOT, relative, tail
from scripts.venv import PYTHON

ARTIFACTS = ROOT / "artifacts"
COVERAGE_DATA = ARTIFACTS / "coverage.data"
PACKAGES = ("converter", "common", "backend", "ai_engine", "frontend", "supervisor", "docker_guard")
FAILURE_LINES = 80
_COLLECT_SECONDS = 120
# How pytest says what it has done: with one process, and with several.
_PROGRESS = (
    re.compile(r"^(?P<test>\S+::.+?) [A-Z]+ .*\[\s*(?P<percent>\d+)%\]"),
    re.compile(r"^\[gw\d+\] \[\s*(?P<percent>\d+)%\] [A-Z]+ (?P<test>\S+::.+?)\s*$"),
)


@dataclass(frozen=True)
class Stage:
    """Some folders of tests that need the same things."""

    name: str
    paths: tuple[str, ...]
    limit_seconds: float
    needs: str = ""  # "", "engine" or "stack"
    measures_coverage: bool = False
    workers: int = 1  # processes that share the tests
    keeps_files_whole: bool = False  # a file's tests go to one worker, since they share containers

    def existing_paths(self) -> list[str]:
        """The folders (patterns resolved) that hold tests."""
        found = (path for pattern in self.paths for path in sorted(ROOT.glob(pattern)))
        return [str(path.relative_to(ROOT)) for path in found if any(path.glob("**/test_*.py"))]


@dataclass(frozen=True)
class Result:
    """What came out of a stage."""

    stage: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    reason: str = ""  # why it was skipped, or why it could not even run

    def __str__(self) -> str:
        numbers = f"{self.passed} passed, {self.failed} failed, {self.skipped} skipped"
        return f"{self.stage:<12} {numbers:<40} {console.duration(self.seconds):>12}  {self.reason}".rstrip()


def run(stage: Stage, environment: Mapping[str, str]) -> Result:
    """Run the tests of a stage. Its output goes to artifacts/<stage>.log, its results to artifacts/<stage>.xml."""
    paths = stage.existing_paths()
    if not paths:
        return Result(stage.name, reason="has no tests yet")
    report = ARTIFACTS / f"{stage.name}.xml"
    report.unlink(missing_ok=True)
    command = [str(PYTHON), "-m", "pytest", "-v", "--color=no", f"--junitxml={report}", *paths]
    if stage.measures_coverage:
        command += [word for package in PACKAGES for word in ("--cov", package)] + ["--cov-report=", "--cov-append"]
    if stage.workers > 1:
        command += ["-n", str(stage.workers), "--dist", "loadfile" if stage.keeps_files_whole else "worksteal"]
    log = ARTIFACTS / f"{stage.name}.log"
    with console.step(f"{stage.name} tests") as step:
        status = _watched(command, {**environment, "COVERAGE_FILE": str(COVERAGE_DATA)}, log, stage.limit_seconds, step)
        result = _read(stage.name, report, status, step.seconds)
        step.note(f"{result.passed} passed, {result.failed} failed, {result.skipped} skipped")
        step.is_good = not result.failed
    if result.failed:
        console.say(tail(log, FAILURE_LINES))
        console.say(f"     the whole log is {relative(log)}")
    return result


def skipped(stage: Stage, reason: str, environment: Mapping[str, str]) -> Result:
    """The result of a stage that cannot run here; each of its tests counts as skipped."""
    paths = stage.existing_paths()
    if not paths:
        return Result(stage.name, reason="has no tests yet")
    command = [str(PYTHON), "-m", "pytest", "--collect-only", "-q", "--color=no", *paths]
    try:
        listed = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=_COLLECT_SECONDS
        ).stdout
    except subprocess.TimeoutExpired:
        listed = ""
    return Result(stage.name, skipped=max(1, listed.count("::")), reason=f"skipped: {reason}")


def coverage_by_package() -> dict[str, float]:
    """Percent of lines that the measured stages ran, by package; writes artifacts/coverage.xml beside."""
    if not COVERAGE_DATA.exists():
        return {}
    environment = {**os.environ, "COVERAGE_FILE": str(COVERAGE_DATA)}
    command = [str(PYTHON), "-m", "coverage"]
    subprocess.run(
        [*command, "xml", "-q", "-o", str(ARTIFACTS / "coverage.xml")], cwd=ROOT, env=environment, check=False
    )
    found: dict[str, float] = {}
    for package in PACKAGES:
        include = f"*/src/{package}/*"
        done = subprocess.run(
            [*command, "report", "--format=total", "--precision=1", f"--include={include}"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            found[package] = float(done.stdout)
    return found


def forget_old_results() -> None:
    """Remove what earlier runs left in artifacts/, so that nothing old is taken for new."""
    ARTIFACTS.mkdir(exist_ok=True)
    for pattern in ("*.xml", "*.log", "coverage.data*"):
        for path in ARTIFACTS.glob(pattern):
            path.unlink()
    for folder in ("containers", "screenshots"):
        shutil.rmtree(ARTIFACTS / folder, ignore_errors=True)


def progress(line: str) -> str:
    """What a line of pytest's says of how far it is, such as `12 %  test_a_thing`; empty when it says nothing of it."""
    match = next(filter(None, (pattern.match(line) for pattern in _PROGRESS)), None)
    return f"{match['percent']} %  {match['test'].partition('::')[2]}" if match else ""


def _watched(
    command: list[str], environment: Mapping[str, str], log: Path, limit_seconds: float, step: console.Step
) -> int:
    """Run pytest, copy its lines to the log, and note the test that it is at. Ends it when the time is up."""
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    timer = threading.Timer(limit_seconds, process.kill)
    timer.start()
    try:
        assert process.stdout is not None  # noqa: S101 - for the type checker
        with log.open("wb") as sink, process.stdout as lines:
            for line in lines:
                sink.write(line)
                if note := progress(line.decode(errors="replace")):
                    step.note(note)
        return process.wait()
    finally:
        timer.cancel()
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=60)


def _read(name: str, report: Path, status: int, seconds: float) -> Result:
    """Count the results out of pytest's XML; a run without one, or that failed without a failed test, is a failure."""
    passed = failed = left_out = 0
    if report.exists():
        for suite in ElementTree.parse(report).getroot().iter("testsuite"):  # noqa: S314 - written by our own pytest
            bad = int(suite.get("failures", "0")) + int(suite.get("errors", "0"))
            failed += bad
            left_out += int(suite.get("skipped", "0"))
            passed += max(0, int(suite.get("tests", "0")) - bad - int(suite.get("skipped", "0")))
    reason = ""
    if status and not failed:
        failed, reason = 1, f"pytest ended with status {status}" if status > 0 else "stopped: it took too long"
    return Result(name, passed, failed, left_out, seconds, reason)
