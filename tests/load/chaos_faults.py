"""What people do with Docker past the supervisor, and what breaks. With what operators ask (deeds.py), all that
`make chaos` chooses from.
"""

from __future__ import annotations

import os
import signal
import time

import httpx

from tests.e2e.stack import eventually
from tests.load.aftermath import is_rolling
from tests.load.deeds import OF_OPERATORS, SCALES, Deed, Ground, RefusedError, deploy_bad, drain, pause
from tests.load.supervisor_watch import kill_9

LOOK_SECONDS = 30.0
PAUSED_SECONDS = (2.0, 5.0)


# --- people -----------------------------------------------------------------------------------------------------------
def compose_scale(ground: Ground) -> str:
    """`docker compose up --scale`, by somebody who first looks whether the service is at rest."""
    stack, replicas = ground.site.stack, ground.chance.randint(*SCALES)
    try:
        eventually(lambda: _is_at_rest(ground), within_seconds=LOOK_SECONDS, every_seconds=1)
    except AssertionError as error:
        raise RefusedError("the backend is not at rest, and who looks first does not do it then") from error
    stack.scale(backend=replicas)
    return f"backend to {replicas}"


def _is_at_rest(ground: Ground) -> bool:
    try:
        service = ground.site.supervisor.service("backend")
    except httpx.HTTPError:
        return False
    is_whole = service["ready"] == service["running"] == len(service["replicas"])
    return bool(is_whole) and not is_rolling(ground.site)


def stop(ground: Ground) -> str:
    """`docker stop`, and later `docker start`."""
    chosen = ground.victim()
    name = ground.name(chosen)
    ground.site.stack.docker("stop", chosen)
    ground.later(f"{name} is started", lambda: ground.site.stack.docker("start", chosen))
    return name


def remove(ground: Ground) -> str:
    """`docker rm -f`."""
    chosen = ground.victim()
    name = ground.name(chosen)
    ground.site.stack.docker("rm", "-f", chosen)
    return name


# --- faults -----------------------------------------------------------------------------------------------------------
def hang(ground: Ground) -> str:
    """SIGSTOP: it keeps its connections and answers nothing."""
    chosen = ground.victim()
    pid = ground.site.stack.pid(chosen)
    if pid <= 0:
        raise RefusedError("it has no process at the moment")
    os.kill(pid, signal.SIGSTOP)
    return ground.name(chosen)


def supervisor_killed(ground: Ground) -> str:
    return _killed(ground, "supervisor")


def guard_killed(ground: Ground) -> str:
    return _killed(ground, "docker-guard")


def nginx_killed(ground: Ground) -> str:
    with ground.outage("nginx"):
        return _killed(ground, "nginx")


def _killed(ground: Ground, service: str) -> str:
    container = ground.only(service)
    if not kill_9(ground.site.stack, container):
        raise RefusedError("it has no process at the moment")
    return ground.name(container)


def pool_paused(ground: Ground) -> str:
    """The way to the database stands still for some seconds."""
    seconds = ground.chance.uniform(*PAUSED_SECONDS)
    pool = ground.only("pgbouncer")
    with ground.outage("pgbouncer"):
        ground.site.stack.docker("pause", pool)
        time.sleep(seconds)
        ground.site.stack.docker("unpause", pool)
    return f"for {seconds:.1f} s"


def prometheus_stopped(ground: Ground) -> str:
    return _stopped(ground, "prometheus")


def redis_stopped(ground: Ground) -> str:
    return _stopped(ground, "redis")


def _stopped(ground: Ground, service: str) -> str:
    """What the requests can do without, until later."""
    container = ground.only(service)
    ground.site.stack.docker("stop", "--time", "10", container)
    ground.later(f"{service} is started", lambda: ground.site.stack.docker("start", container))
    return ground.name(container)


ALL: dict[str, Deed] = {
    **OF_OPERATORS,
    "drain": drain,
    "pause": pause,
    "deploy a bad image": deploy_bad,
    "compose up --scale": compose_scale,
    "docker stop": stop,
    "docker rm -f": remove,
    "hang": hang,
    "supervisor killed": supervisor_killed,
    "docker-guard killed": guard_killed,
    "nginx killed": nginx_killed,
    "pgbouncer paused": pool_paused,
    "prometheus stopped": prometheus_stopped,
    "redis stopped": redis_stopped,
}
