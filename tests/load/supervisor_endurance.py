"""Measures 10 to 14: what must hold however long it goes on. Floods of events, random actions, kills of the supervisor
itself, crash loops, and bodies that docker-guard must refuse. All chance comes from the seed that is printed.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Callable

import httpx

from tests.e2e.stack import ROOT, eventually
from tests.integration.test_docker_guard import HOSTILE as BODIES
from tests.load import aftermath
from tests.load.deeds import OF_OPERATORS, Deeds
from tests.load.findings import Finding
from tests.load.supervisor_peers import Supervised, compose_labels
from tests.load.supervisor_site import Site
from tests.load.supervisor_watch import Events, kill_9

ACTIONS, KILLS = 50, 12
QUICK = {"rollout": {"ready_seconds": 30, "step_seconds": 2, "step_max_seconds": 4, "bake_seconds": 3}}
CONVERGED_SECONDS = 300.0
CRASH_SECONDS, CRASH_SECONDS_SHORT = 600.0, 180.0
ALIVE_SECONDS = 1.0  # how long each life of a crash loop lasts
HOSTILE = ("tests/integration/test_docker_guard.py", "-k", "hostile or not_on_the_list or docker_would_understand")
HOSTILE_TABLES = "supervisor/docker-guard/tests"


def actions(site: Site) -> list[Finding]:
    """Fifty in a row, often before the one before is over; then Compose is asked."""
    keeper, deeds = Supervised(site), Deeds(site, site.seed, OF_OPERATORS)
    with site.supervisor.policies({"services": {"backend": QUICK}}):
        for number in range(ACTIONS):
            print(f"  action {number + 1} of {ACTIONS}: {deeds.one().name}", flush=True)
            time.sleep(deeds.chance.choice((0.0, 1.0, 4.0, 12.0)))
        eventually(lambda: not aftermath.is_rolling(site), within_seconds=CONVERGED_SECONDS, every_seconds=1)
        keeper.restore()
    changes = site.stack.dry_run_changes()
    unlisted = aftermath.unlisted(site)
    left_over = aftermath.left_after_down(site)
    name = f"{ACTIONS} random actions"
    told = f"{'; '.join(changes) or '0'} (seed {site.seed}: {deeds})"
    return [
        Finding(f"{name}: `up --dry-run` would change", told, "0"),
        Finding("the same: containers that `ps` does not list", "; ".join(unlisted) or "0", "0"),
        Finding("the same: left over after `down`", "; ".join(left_over) or "0", "0"),
    ]


def supervisor_killed(site: Site) -> list[Finding]:
    """With signal 9, at a random moment of a random action, twelve times; each time everything must come right."""
    keeper, deeds, slowest, wrong = Supervised(site), Deeds(site, site.seed + 1, OF_OPERATORS), 0.0, list[str]()
    with site.supervisor.policies({"services": {"backend": QUICK}}):
        for number in range(KILLS):
            name = deeds.one().name
            delay = deeds.chance.uniform(0.0, 8.0 if name == "deploy" else 4.0)
            time.sleep(delay)
            assert kill_9(site.stack, site.stack.containers("supervisor")[0]), "the supervisor does not run"
            began = time.monotonic()
            problem = _came_right(site)
            seconds = time.monotonic() - began
            told = problem or f"right again after {seconds:.1f} s"
            print(f"  kill {number + 1} of {KILLS}: {delay:.1f} s into {name}: {told}", flush=True)
            slowest = max(slowest, seconds)
            wrong += [f"{name}: {problem}"] if problem else []
        keeper.restore()
    value = f"{KILLS - len(wrong)} of {KILLS} (seed {site.seed + 1}: {deeds}), slowest {slowest:.0f} s"
    return [
        Finding("supervisor killed in the middle of an action: came right", "; ".join([value, *wrong]), "all"),
        Finding("the same: `up --dry-run` would change", "; ".join(site.stack.dry_run_changes()) or "0", "0"),
    ]


def _came_right(site: Site) -> str:
    """Wait until nothing is under way; then empty, or what is wrong with what there is."""
    eventually(site.supervisor.is_ready, within_seconds=90)
    site.supervisor.patch_policies({"services": {"backend": QUICK}})  # a change lasts until a restart
    try:
        eventually(lambda: not aftermath.is_rolling(site), within_seconds=CONVERGED_SECONDS, every_seconds=0.5)
        eventually(lambda: _is_calm(site), within_seconds=CONVERGED_SECONDS, every_seconds=0.5)
    except AssertionError:
        service = site.supervisor.service("backend")
        return f"still {service['sentence']}"
    filters = [
        word for label in compose_labels(site.stack.project, "backend") for word in ("--filter", f"label={label}")
    ]
    there = len(site.stack.docker("ps", "-aq", *filters).split())
    desired = site.supervisor.service("backend")["desired"]
    return "" if there == desired else f"{there} containers where {desired} are wanted"


def _is_calm(site: Site) -> bool:
    try:
        service = site.supervisor.service("backend")
    except httpx.HTTPStatusError:
        return False
    is_whole = service["ready"] == service["running"] == service["desired"]
    return bool(is_whole and len(service["replicas"]) == service["desired"])


def crash_loop(site: Site) -> list[Finding]:
    """One backend whose process ends a second after each start, whoever starts it, and so does that of a container that
    takes its place."""
    seconds = CRASH_SECONDS if site.is_long else CRASH_SECONDS_SHORT
    stack, events = site.stack, Events(compose_labels(site.stack.project, "backend"))
    good = set(stack.containers("backend"))
    cursed = {good.pop()}
    known = {incident["id"] for incident in site.supervisor.get("/api/incidents?service=backend&limit=100")}
    ends = time.monotonic() + seconds
    with events.recorded():
        while time.monotonic() < ends:
            cursed |= set(stack.containers("backend")) - good
            for replica in cursed:
                kill_9(stack, replica)
            time.sleep(ALIVE_SECONDS)
    starts = sum(event.action == "start" for event in events.seen)
    new = [i for i in site.supervisor.get("/api/incidents?service=backend&limit=100") if i["id"] not in known]
    Supervised(site).restore()
    name = f"crash loop of one backend for {seconds / 60:.0f} min"
    kinds = ", ".join(incident["kind"] for incident in new)
    return [
        Finding(f"{name}: starts", str(starts), "<= 8 in 10 min"),
        Finding(f"{name}: incidents", f"{len(new)} ({kinds})", "1"),
    ]


def hostile(_site: Site) -> list[Finding]:
    """The tables of bodies, calls and paths that docker-guard must refuse: on a real engine, and its own tests."""
    on_engine = _passed(*HOSTILE)
    of_tables = _passed(HOSTILE_TABLES)
    bodies = f"all of {len(BODIES)} bodies, and calls and paths" if on_engine[0] else "not all"
    return [
        Finding("hostile requests to docker-guard, on a real engine: refused", f"{bodies} ({on_engine[1]})", "100 %"),
        Finding("docker-guard's tables and fuzzer", of_tables[1], "all pass"),
    ]


def _passed(*arguments: str) -> tuple[bool, str]:
    command = [sys.executable, "-m", "pytest", "-q", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)
    lines = done.stdout.strip().splitlines() or ["no answer"]
    summary = re.sub(r" in [\d.]+s.*", "", lines[-1])
    return done.returncode == 0 and "skipped" not in summary, summary


ENDURANCE: dict[str, Callable[[Site], list[Finding]]] = {
    "actions": actions,
    "supervisor-killed": supervisor_killed,
    "crash-loop": crash_loop,
    "hostile": hostile,
}
