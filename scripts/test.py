"""All tests, stage by stage: `make test`. The last line is the sum, such as `123 passed, 0 failed, 4 skipped`.

unit and contract tests need nothing. integration needs a Docker engine; e2e and browser need a running stack, which is
started once, as a Compose project of its own with other ports and secrets, and removed with its data at the end, also
after a failure or Ctrl-C (KEEP=1 keeps it). A user's own stack is never touched. Where no engine can run, the stages
that need one are skipped with the reason; REQUIRE_DOCKER=1 makes that a failure.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from scripts import apt, console, project, stack, stages, tls, venv
from scripts.process import ROOT, STATE, can_be_root, relative
from scripts.project import Project
from scripts.stages import ARTIFACTS, Result, Stage

STAGES = (
    Stage(
        "unit",
        ("services/*/tests", "supervisor/tests", "supervisor/docker-guard/tests", "tests/unit"),
        900,
        measures_coverage=True,
        workers=min(4, os.cpu_count() or 1),
    ),
    Stage("contract", ("tests/contract",), 180),
    # Two workers whatever the machine has: their tests wait more than they work.
    Stage(
        "integration",
        ("tests/integration",),
        1800,
        needs="engine",
        measures_coverage=True,
        workers=2,
        keeps_files_whole=True,
    ),
    Stage("e2e", ("tests/e2e",), 2700, needs="stack"),
    Stage("browser", ("tests/browser",), 900, needs="stack"),
)
FOLDER = STATE / "test"
ENV_FILE = FOLDER / ".env"
REMOVE_SECONDS = 180
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def settings() -> dict[str, str]:
    """Settings of the test installation. MODPORTER_TEST_* (name, ports) let two clones test at the same time."""
    own = f"./{relative(FOLDER)}"
    chosen = {
        "COMPOSE_PROJECT_NAME": os.environ.get("MODPORTER_TEST_PROJECT") or "modporter-test",
        "HTTP_PORT": os.environ.get("MODPORTER_TEST_HTTP_PORT") or "18080",
        "HTTPS_PORT": os.environ.get("MODPORTER_TEST_HTTPS_PORT") or "18443",
        "SUPERVISOR_PORT": os.environ.get("MODPORTER_TEST_SUPERVISOR_PORT") or "18090",
        "SECRETS_DIR": f"{own}/secrets",
        "TLS_CERT": f"{own}/secrets/tls/server.crt",
        "TLS_KEY": f"{own}/secrets/tls/server.key",
        # All scenarios come from one address; the limits themselves are tested on an NGINX of their own.
        "API_RATE": "10000",
        "UPLOAD_RATE": "6000",
        "MAX_CONNECTIONS": "10000",
    }
    images = os.environ.get("IMAGES") or _images_of_the_user()
    return {**chosen, "IMAGES": images} if images else chosen


def _images_of_the_user() -> str:
    """A user who builds (or pulls) images wants the tests to do the same."""
    return project.load().values["IMAGES"] if (ROOT / ".env").exists() else ""


class Run:
    """One run of the stages: what was found out about this machine, and the stack once it is started."""

    def __init__(self) -> None:
        self.environment: dict[str, str] = dict(os.environ)
        self.installation: Project | None = None
        self.is_started = False
        self.engine_reason: str | None = None  # None: not tried yet; empty: there is an engine

    def stage(self, stage: Stage) -> Result:
        """Run a stage, or say why it cannot run here."""
        if not stage.existing_paths():
            return Result(stage.name, reason="has no tests yet")
        if stage.needs and self._why_no_engine():
            return self._left_out(stage, self._why_no_engine())
        if stage.name == "browser" and not self._browser():
            return self._left_out(stage, "no Chromium here, and installing it needs root on Debian")
        try:
            if stage.needs:
                self.prepare(stage)
        except console.Failure as failure:
            print(failure, file=sys.stderr)
            return Result(stage.name, failed=1, reason=failure.sentence)
        return stages.run(stage, self.environment)

    def _left_out(self, stage: Stage, reason: str) -> Result:
        console.warn(f"{stage.name} tests are left out: {reason}")
        if os.environ.get("REQUIRE_DOCKER") == "1":
            return Result(stage.name, failed=1, reason=f"REQUIRE_DOCKER=1, but {reason}")
        return stages.skipped(stage, reason, self.environment)

    def _why_no_engine(self) -> str:
        """Try once to get an engine; afterwards the reason why there is none, or nothing."""
        if self.engine_reason is None:
            try:
                stack.open_engine()
                self.engine_reason = ""
            except console.Failure as failure:
                self.engine_reason = failure.sentence
        return self.engine_reason

    def prepare(self, stage: Stage) -> Project:
        """Settings and images for both kinds of need; the running stack for those that ask for it."""
        if self.installation is None:
            remove_leftovers()
            self.installation = stack.bring_images(stack.settle(ENV_FILE, settings(), isolated=True))
            self.environment |= test_environment(self.installation)
        if stage.needs == "stack" and not self.is_started:
            self.is_started = True  # even a start that fails half-way leaves something to remove
            stack.start(self.installation)
        return self.installation

    def _browser(self) -> str:
        """The Chromium to drive, installed from Debian where root can be had; empty when there is none."""
        if not (found := _installed_browser()) and apt.is_debian_like() and can_be_root():
            console.say("     Chromium is not installed; installing Debian's package chromium for the browser tests")
            try:
                apt.install(["chromium"])
            except console.Failure as failure:
                console.warn(failure.sentence)
            found = _installed_browser()
        self.environment["MODPORTER_TEST_CHROMIUM"] = found
        return found


def _installed_browser() -> str:
    return next((path for name in BROWSERS if (path := shutil.which(name))), "")


def test_environment(installation: Project) -> dict[str, str]:
    """What the tests read to find the stack, and its settings literally, so that the shell's cannot shadow them."""
    return {
        **installation.values,
        "MODPORTER_TEST_BASE_URL": installation.base_url,
        "MODPORTER_TEST_CA": str(tls.local_files(installation.secrets_dir).ca),
        "MODPORTER_TEST_PROJECT": installation.name,
        "MODPORTER_TEST_ENV_FILE": str(installation.env_file),
        "TESTCONTAINERS_RYUK_DISABLED": "true",
    }


def exports(installation: Project) -> str:
    """The lines for a shell in which `.venv/bin/pytest tests/e2e` finds the stack that was kept."""
    found = test_environment(installation).items()
    return "\n".join(
        f"export {name}={shlex.quote(value)}" for name, value in found if name.startswith("MODPORTER_TEST_")
    )


def remove_leftovers() -> None:
    """Remove containers, networks and data of exactly the test project, and its settings and secrets."""
    name = settings()["COMPOSE_PROJECT_NAME"]
    label = f"label=com.docker.compose.project={name}"
    for listing, removal in (
        (["docker", "ps", "--all", "--quiet"], ["docker", "rm", "--force", "--volumes"]),
        (["docker", "network", "ls", "--quiet"], ["docker", "network", "rm"]),
        (["docker", "volume", "ls", "--quiet"], ["docker", "volume", "rm", "--force"]),
        # The installation's own tags; what was built keeps its name `:local`.
        (["docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}"], ["docker", "image", "rm"]),
    ):
        tags = [f"reference=modporter/*:{name}", f"reference=modporter/*:{name}-*"]
        mine = tags if listing[1] == "image" else [label]
        filters = [word for one in mine for word in ("--filter", one)]
        found = subprocess.run(
            [*listing, *filters], capture_output=True, text=True, check=False, timeout=REMOVE_SECONDS
        ).stdout.split()
        if found:
            subprocess.run([*removal, *found], capture_output=True, check=False, timeout=REMOVE_SECONDS)
    shutil.rmtree(FOLDER, ignore_errors=True)


def keep_logs(installation: Project) -> None:
    """Write the log of every container of the stack to artifacts/containers/."""
    folder = ARTIFACTS / "containers"
    folder.mkdir(parents=True, exist_ok=True)
    for container in project.containers(installation.name):
        name = str(container["Name"]).lstrip("/")
        with (folder / f"{name}.log").open("wb") as sink:
            subprocess.run(
                ["docker", "logs", "--timestamps", name],
                stdout=sink,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=REMOVE_SECONDS,
            )
    console.say(f"     the logs of all containers are in {relative(folder)}/")


@contextmanager
def torn_down(run: Run, results: list[Result]) -> Iterator[None]:
    """Whatever happens inside, afterwards nothing of the test project is left (but its logs, when a test failed)."""
    is_finished = False
    try:
        yield
        is_finished = True
    finally:
        # A second Ctrl-C must not leave half of it behind.
        previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
        if run.installation is not None and run.is_started:
            if not is_finished or any(result.failed for result in results):
                keep_logs(run.installation)
            if os.environ.get("KEEP") == "1":
                console.say(f"     kept: {run.installation.base_url} (KEEP=1); the next `make test` removes it")
                console.say(f"     for pytest by hand:\n{exports(run.installation)}")
            else:
                with console.step("Removing the test stack and its data"):
                    remove_leftovers()
        signal.signal(signal.SIGINT, previous)


def summary(results: list[Result], coverage: Mapping[str, float]) -> str:
    """A table of stages, the coverage, and as the last line the sum."""
    lines = ["", *map(str, results), ""]
    if coverage:
        lines += ["coverage of lines: " + ", ".join(f"{name} {part:.1f} %" for name, part in coverage.items()), ""]
    passed, failed, skipped = (
        sum(getattr(result, field) for result in results) for field in ("passed", "failed", "skipped")
    )
    return "\n".join([*lines, f"{passed} passed, {failed} failed, {skipped} skipped"])


def chosen_stages(names: str) -> list[Stage]:
    """All stages, or those named in STAGES (separated by blanks or commas)."""
    wanted = names.replace(",", " ").split()
    unknown = set(wanted) - {stage.name for stage in STAGES}
    if unknown:
        known = ", ".join(stage.name for stage in STAGES)
        console.fail(f"There is no stage {', '.join(sorted(unknown))}.", f"The stages are {known}.")
    return [stage for stage in STAGES if not wanted or stage.name in wanted]


def main() -> int:
    """Run the stages in order and sum up. Status 1 when anything failed."""
    argparse.ArgumentParser(prog="scripts.test", description="Run all tests.").parse_args()
    wanted = chosen_stages(os.environ.get("STAGES", ""))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    stages.forget_old_results()
    venv.ensure()
    results: list[Result] = []
    run = Run()
    with torn_down(run, results):
        for stage in wanted:
            results.append(run.stage(stage))
            console.say(f"     {results[-1]}")
    console.say(summary(results, stages.coverage_by_package()))
    return 1 if any(result.failed for result in results) else 0


if __name__ == "__main__":
    console.run(main)
