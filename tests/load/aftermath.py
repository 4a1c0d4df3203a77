"""What must hold of a stack after any history: everything is whole again, and for Compose nothing has happened. Used by
the measures of endurance and by `make chaos`.
"""

from __future__ import annotations

from collections import Counter

import httpx

from tests.e2e.stack import Stack, eventually
from tests.load.supervisor_site import Site

BALANCED = ("backend", "frontend", "ai-engine")
ENDED = ("done", "rolled_back")


def is_rolling(site: Site) -> bool:
    """Whether a rollout of the backend is under way; also while the supervisor has just started, and does not know."""
    try:
        newest = site.supervisor.get("/api/rollouts?service=backend&limit=1")
    except httpx.HTTPStatusError:
        return True
    return bool(newest) and newest[0]["phase"] not in ENDED


def unrest(site: Site) -> str:
    """What is not yet as it is wanted; empty when all services are whole and nothing is under way."""
    try:
        services = site.supervisor.get("/api/services")
    except httpx.HTTPError:
        return "the supervisor does not answer"
    for service in services:
        is_whole = service["ready"] == service["running"] == service["desired"]
        is_exact = service["name"] not in BALANCED or len(service["replicas"]) == service["desired"]
        if service["is_managed"] and not (is_whole and is_exact):
            return f"{service['name']}: {service['sentence']}"
    return "a rollout is under way" if is_rolling(site) else ""


def unlisted(site: Site) -> list[str]:
    """Containers with the project's labels that `docker compose ps` does not list, or the reverse."""
    listed = set(site.stack.compose("ps", "-aq").split())
    there = set(site.stack.docker("ps", "-aq", "--no-trunc", *_of_project(site.stack)).split())
    return sorted(identifier[:12] for identifier in listed ^ there)


def orphans(site: Site) -> list[str]:
    """Clones that the supervisor does not show, and so will never remove."""
    shown = {replica["id"] for each in site.supervisor.get("/api/services") for replica in each["replicas"].values()}
    clones = ("--filter", "label=supervisor.clone", "--format", "{{.ID}} {{.Names}}")
    rows = site.stack.docker("ps", "-a", *_of_project(site.stack), *clones).splitlines()
    return [name for identifier, name in map(str.split, rows) if identifier not in shown]


def doubles(site: Site) -> list[str]:
    """Numbers that two containers of a service have, and names that say another number than the label."""
    columns = '{{.Names}} {{.Label "com.docker.compose.service"}} {{.Label "com.docker.compose.container-number"}}'
    replicas = ("--filter", "label=com.docker.compose.oneoff=False", "--format", columns)
    rows = site.stack.docker("ps", "-a", *_of_project(site.stack), *replicas).splitlines()
    found = [tuple(row.split()) for row in rows]
    twice = [f"{service} {number}" for (service, number), n in Counter(row[1:] for row in found).items() if n > 1]
    wrong = [f"{name} is number {number}" for name, _, number in found if name.rpartition("-")[2] != number]
    return sorted([*twice, *wrong])


def other_images(site: Site) -> list[str]:
    """Backends of another image than the one that Compose would start."""
    stack = site.stack
    wanted = stack.docker("image", "inspect", "-f", "{{.Id}}", f"modporter/backend:{stack.project}")
    rows = stack.docker("inspect", "-f", "{{.Name}} {{.Image}}", *stack.containers("backend")).splitlines()
    return [name.lstrip("/") for name, image in map(str.split, rows) if image != wanted]


def left_after_down(site: Site) -> list[str]:
    """Takes the stack down (its data stays) and starts it again."""
    stack = site.stack
    stack.compose("down", timeout_seconds=300)
    left = stack.docker("ps", "-a", "--format", "{{.Names}}", *_of_project(stack)).split()
    left += stack.docker("network", "ls", "--format", "{{.Name}}", *_of_project(stack)).split()
    stack.compose("up", "-d", "--no-build", timeout_seconds=300)
    for service in (*BALANCED, "nginx", "supervisor"):
        eventually(lambda service=service: stack.is_healthy(service), within_seconds=180)  # type: ignore[misc]
    eventually(site.supervisor.is_ready, within_seconds=60)
    return left


def _of_project(stack: Stack) -> tuple[str, str]:
    return "--filter", f"label=com.docker.compose.project={stack.project}"
