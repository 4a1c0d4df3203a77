"""Starts the containers and waits until all are healthy and HTTPS answers, service by service. Used by up.py,
scale.py and test.py. When something fails it says which service, shows its last log lines, and what to do.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from scripts import console, https
from scripts.process import ROOT, log_file, relative, tail
from scripts.project import Project, containers

START_SECONDS = 420.0  # two cold cores: Neo4j and three backends start at the same time
ANSWER_SECONDS = 60.0
POLL_SECONDS = 1.0
LOG_LINES = 20
CRASHES_TO_GIVE_UP = 4


@dataclass(frozen=True)
class ServiceView:
    """One service as it is now: how many of its containers are good, and what is wrong with the worst of them."""

    service: str
    wanted: int
    good: int
    problem: str = ""
    container: str = ""  # the one whose last lines explain it
    restarts: int = 0

    @property
    def is_good(self) -> bool:
        """Whether as many containers as wanted are healthy (or, for a one-shot, ended well)."""
        return self.good >= self.wanted

    def __str__(self) -> str:
        return f"{self.service} {self.good}/{self.wanted}" if self.wanted != 1 else self.service


def expected(installation: Project) -> dict[str, int]:
    """Number of containers by service, as Compose reads its files. Ends the script when it cannot."""
    text = installation.query("config", "--format", "json")
    if not text:
        installation.compose("config", "--quiet")
        console.fail("Docker Compose cannot read its files.", "See its message above.")
    services: dict[str, Any] = json.loads(text)["services"]
    return {name: int((service.get("deploy") or {}).get("replicas", 1)) for name, service in services.items()}


def views(wanted: Mapping[str, int], inspected: Iterable[Mapping[str, Any]]) -> list[ServiceView]:
    """The state of every wanted service, out of `docker inspect`."""
    found: dict[str, list[Mapping[str, Any]]] = {name: [] for name in wanted}
    for container in inspected:
        labels = container["Config"]["Labels"]
        # `docker compose run` makes containers that belong to no replica.
        if labels.get("com.docker.compose.oneoff") != "True":
            found.setdefault(labels["com.docker.compose.service"], []).append(container)
    return [_view(name, count, found[name]) for name, count in wanted.items()]


def _view(service: str, wanted: int, inspected: list[Mapping[str, Any]]) -> ServiceView:
    states = [(container, _problem(container)) for container in inspected]
    # The one with something to say about itself explains more than one that is still starting.
    ill = sorted((state for state in states if state[1] is not None), key=lambda state: not state[1])
    worst, problem = ill[0] if ill else ({}, "")
    return ServiceView(
        service,
        wanted,
        good=len(states) - len(ill),
        problem=problem or "",
        container=worst.get("Id", ""),
        restarts=max((_restarts(container) for container, _ in ill), default=0),
    )


def _problem(container: Mapping[str, Any]) -> str | None:
    """None when the container is good, empty while that is open, else what is wrong."""
    state = container["State"]
    if state["Status"] == "running":
        health = (state.get("Health") or {}).get("Status", "healthy")
        if health == "healthy":
            return None
        if _restarts(container):
            return f"keeps ending (started {_restarts(container) + 1} times)"
        return "answers its health check badly" if health == "unhealthy" else ""
    if state["Status"] == "exited" and state["ExitCode"] == 0 and _is_one_shot(container):
        # Compose starts an ended one-shot again at every `up`; one that ended well before counts as well.
        return None
    if state["Status"] == "restarting":
        return f"keeps ending (status {state['ExitCode']})"
    if state["Status"] in ("exited", "dead"):
        return f"ended with status {state['ExitCode']}"
    return ""


def _restarts(container: Mapping[str, Any]) -> int:
    """How often the engine started it again after it had ended by itself."""
    return int(container.get("RestartCount", 0))


def _is_one_shot(container: Mapping[str, Any]) -> bool:
    return (container["HostConfig"].get("RestartPolicy") or {}).get("Name", "no") in ("", "no")


def start(installation: Project, arguments: list[str], step: console.Step, *, only: str = "") -> None:
    """Run `docker compose up -d ...` and return when every service (or `only` this one) is healthy.

    Ends the script when that fails.
    """
    wanted = expected(installation)
    if only:
        wanted = {only: wanted[only]}
    log = log_file(f"{installation.name}-start")
    with log.open("wb") as sink:
        process = subprocess.Popen(
            installation.compose_command("--ansi", "never", "up", "--detach", *arguments),
            cwd=ROOT,
            env=installation.environment(),
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
        )
        try:
            status = _follow(installation, wanted, step, process.poll)
        finally:
            _end(process)
    if status:
        console.say(tail(log, 8))
        diagnose(installation, wanted, f"docker compose up ended with status {status}")


def _follow(
    installation: Project, wanted: Mapping[str, int], step: console.Step, ended: Callable[[], int | None]
) -> int:
    """Show each service as it becomes healthy; returns Compose's exit status. Diagnoses a stack that hangs."""
    deadline = time.monotonic() + START_SECONDS
    told: set[str] = set()
    # Containers of an earlier, failed start may have crashed often; Compose is about to replace those.
    before = {container["Id"]: _restarts(container) for container in containers(installation.name)}
    while time.monotonic() < deadline:
        status = ended()
        if status:
            return status
        inspected = containers(installation.name)
        now = views(wanted, inspected)
        for view in now:
            if not view.is_good:
                told.discard(view.service)  # being replaced
            elif view.service not in told:
                told.add(view.service)
                step.line(f"{view!s:<16} healthy after {console.duration(step.seconds)}")
        open_ones = [view for view in now if not view.is_good]
        if any(_restarts(one) - before.get(one["Id"], 0) >= CRASHES_TO_GIVE_UP for one in inspected):
            diagnose(installation, wanted, "it was started again and again")
        if status == 0 and not open_ones:
            step.note("healthy" if len(wanted) == 1 else f"{len(wanted)} services healthy")
            return 0
        step.note(f"{len(wanted) - len(open_ones)} of {len(wanted)} healthy; waiting for {_list(open_ones)}")
        time.sleep(POLL_SECONDS)
    diagnose(installation, wanted, f"after {START_SECONDS:.0f} s not every service is healthy")
    return 1


def wait_for_answer(installation: Project, step: console.Step) -> None:
    """Return when the page and the API answer over HTTPS. Ends the script when they do not."""
    client = https.Client(installation)
    deadline = time.monotonic() + ANSWER_SECONDS
    problem = ""
    while time.monotonic() < deadline:
        try:
            for path in ("/", "/api/v1/conversions"):
                client.expect(200, "GET", path, timeout_seconds=5)
        except (OSError, https.StackError) as error:
            problem = str(error)
            step.note(problem)
            time.sleep(POLL_SECONDS)
        else:
            step.note(installation.base_url)
            return
    for container in containers(installation.name):
        if container["Config"]["Labels"]["com.docker.compose.service"] == "nginx":
            console.say(_logs_of(container["Id"]))
    console.fail(
        f"{installation.base_url} does not answer as it should: {problem}.",
        "The last lines of NGINX are above; `make logs SERVICE=nginx` shows all of them.",
    )


def diagnose(installation: Project, wanted: Mapping[str, int], happened: str) -> None:
    """End the script with the services that are not well, the last lines of the worst one, and what to do."""
    ill = [view for view in views(wanted, containers(installation.name)) if not view.is_good]
    # What crashes comes first, then what says it is ill, then what only waits.
    culprit = min(ill, key=lambda view: (-view.restarts, not view.problem, not view.container), default=None)
    if culprit is None:
        console.fail(f"Although every service is healthy, {happened}.", "Run `make up` again.")
    console.say()
    for view in ill:
        console.say(f"     {view!s:<16} {view.problem or 'still starting, or waiting for another service'}")
    console.heading(f"\nThe last lines of {culprit.service}:")
    console.say(_logs_of(culprit.container) if culprit.container else "(it has no container yet)")
    log = relative(log_file(f"{installation.name}-start"))
    console.fail(
        f"{culprit.service} {culprit.problem or 'does not get ready'} ({happened}).",
        f"`make logs SERVICE={culprit.service}` shows more, {log} what Compose did; then run `make up` again.",
    )


def _logs_of(container: str) -> str:
    done = subprocess.run(
        ["docker", "logs", "--tail", str(LOG_LINES), container],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        timeout=30,
    )
    return (done.stdout + done.stderr).strip() or "(it wrote nothing)"


def _list(open_ones: list[ServiceView]) -> str:
    return ", ".join(map(str, open_ones)) or "Compose"


def _end(process: subprocess.Popen[bytes]) -> None:
    """Leave no Compose behind when the user stops us; what it has started so far stays and is used next time."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
