"""The Docker engine: whether one answers, and on Debian and Ubuntu how to get there.

Run as `python3 -m scripts.engine [--status]`; scripts/up.py calls the functions. It installs the distribution's package
and starts the engine, through systemd or alone where there is none. A running engine is never restarted, and other
systems are only told what to do.
"""

from __future__ import annotations

import argparse
import getpass
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from scripts import apt, console
from scripts.process import as_root, log_file, logged, output, relative, tail

LEAST = (20, 10)
START_SECONDS = 90
DAEMON_LOG = Path("/var/log/dockerd.log")
SOCKET = Path("/var/run/docker.sock")
WITHOUT_DOCKER = "Without Docker the converter alone still works: modporter convert my-mod.jar"
_IN_GROUP = "MODPORTER_IN_DOCKER_GROUP"


def engine_version() -> str | None:
    """The version of the engine that answers this user, or None."""
    return output(["docker", "version", "--format", "{{.Server.Version}}"]) or None


def missing() -> list[str]:
    """What stands between this machine and a usable engine, in words; empty when there is nothing to do."""
    version = engine_version()
    if version:
        return [] if _numbers(version) >= LEAST else [f"a Docker engine of at least 20.10 (here is {version})"]
    if shutil.which("docker") is None:
        return ["Docker"]
    if _answers_root_only():
        return ["the right to use Docker without root"]
    return ["a running Docker engine"]


def ensure() -> None:
    """Install, start and open the engine, as far as each is needed; fails with what to do."""
    version = engine_version()
    if version and _numbers(version) < LEAST:
        console.fail(f"Docker here is {version}, and 20.10 is the oldest that works.", "Update Docker, then try again.")
    if version:
        return
    install()
    start()
    join_group()


def install() -> None:
    """Install the distribution's engine and client when there is no docker command or no daemon."""
    if shutil.which("docker") and (shutil.which("dockerd") or engine_version() or _is_elsewhere()):
        return
    if not apt.is_debian_like():
        _explain_other_system()
    packages = ["docker.io", "iptables", "ca-certificates"]
    apt.refresh_empty_lists()
    # Since Debian 13 the client is a package of its own.
    if output(["apt-cache", "show", "--no-all-versions", "docker-cli"]):
        packages.append("docker-cli")
    with console.step("Docker Engine: install the distribution's package") as step:
        step.note(", ".join(packages))
        apt.install(packages)
        os.environ["PATH"] += ":/usr/sbin:/sbin"


def start() -> None:
    """Start the engine where none answers, and wait until it does. Never restarts one."""
    if engine_version() or _answers_root_only():
        return
    if _is_elsewhere() or not apt.is_debian_like():
        _explain_other_system()
    log = log_file("engine")
    with console.step("Docker Engine: start") as step:
        if Path("/run/systemd/system").is_dir():
            step.note("systemctl")
            logged(as_root(["systemctl", "enable", "--now", "docker.service"]), log, timeout_seconds=START_SECONDS)
            pid = None
        else:
            step.note("dockerd, since this machine runs no systemd")
            _mount_cgroups(log)
            pid = _spawn()
        _wait(pid)


def join_group() -> None:
    """Let an ordinary user talk to the engine: add them to the group docker, and run this script again inside it."""
    if engine_version() or not _answers_root_only():
        return
    user = getpass.getuser()
    if os.environ.get(_IN_GROUP) or shutil.which("sg") is None:
        console.fail(
            f"Docker runs, but {user} may not use it.", f"Run: sudo usermod -aG docker {user}, then log in again."
        )
    with console.step(f"Docker Engine: let {user} use it (group docker; a new login has it everywhere)"):
        logged(as_root(["usermod", "-aG", "docker", user]), log_file("engine"), timeout_seconds=30)
    os.environ[_IN_GROUP] = "1"
    again = shlex.join([sys.executable, *sys.orig_argv[1:]])
    sys.stdout.flush()
    os.execvp("sg", ["sg", "docker", "-c", again])  # noqa: S606 - this very command line, in the new group


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])


def _is_elsewhere() -> bool:
    """Whether docker is pointed at an engine that is not this machine's own."""
    host = os.environ.get("DOCKER_HOST") or output(["docker", "context", "inspect", "-f", "{{.Endpoints.docker.Host}}"])
    return bool(host) and host not in {f"unix://{SOCKET}", "unix:///run/docker.sock"}


def _answers_root_only() -> bool:
    """Whether the daemon is up, but its socket refuses this user."""
    return SOCKET.exists() and not os.access(SOCKET, os.W_OK) and _daemon_is_running()


def _daemon_is_running() -> bool:
    """Whether a process called dockerd is there; readable without root."""
    for name in Path("/proc").glob("[0-9]*/comm"):
        try:
            if name.read_text().strip() == "dockerd":
                return True
        except OSError:
            continue
    return False


def _explain_other_system() -> None:
    if _is_elsewhere():
        console.fail("The Docker engine that docker is configured for does not answer.", "Start it, then try again.")
    if sys.platform == "darwin":
        console.fail("Docker is not running.", f"Install and start Docker Desktop, then try again. {WITHOUT_DOCKER}")
    console.fail(
        "Docker is not running, and this is neither Debian nor Ubuntu.",
        f"Install and start Docker Engine 20.10 or newer, then try again. {WITHOUT_DOCKER}",
    )


def _mount_cgroups(log: Path) -> None:
    """Without an init system nobody may have mounted the control groups that containers need."""
    mounts = Path("/proc/mounts").read_text()
    if " cgroup" not in mounts:
        command = ["mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup"]
        logged(as_root(command), log, timeout_seconds=15)


def _spawn() -> int | None:
    """Start dockerd in a session of its own, holding none of our pipes; returns its process id."""
    command = f"setsid dockerd >>{DAEMON_LOG} 2>&1 </dev/null & echo $!"
    try:
        done = subprocess.run(
            as_root(["sh", "-c", f"PATH=$PATH:/usr/sbin:/sbin; {command}"]),
            stdout=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    except (subprocess.TimeoutExpired, PermissionError):  # the latter: it cannot be killed, since it is root's
        return None
    return int(done.stdout) if done.returncode == 0 and done.stdout.strip().isdigit() else None


def _wait(pid: int | None) -> None:
    """Wait until the engine answers; fails when its process ends or the time is up."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if engine_version() or _answers_root_only():
            return
        if pid is not None and not Path(f"/proc/{pid}").exists():
            break
        time.sleep(0.5)
    for log in (DAEMON_LOG, log_file("engine")):
        if text := tail(log, 15):
            console.say(f"\nThe last lines of {relative(log)}:\n{text}")
    console.fail(
        "The Docker engine does not start on this machine.",
        f"It needs root on a real or virtual machine (a container without privileges cannot run it). {WITHOUT_DOCKER}",
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts.engine", description="The Docker engine: find, install, start it.")
    parser.add_argument("--status", action="store_true", help="only say what is there; status 1 when something is not")
    if parser.parse_args().status:
        lacking = missing()
        console.say(f"missing: {', '.join(lacking)}" if lacking else f"Docker engine {engine_version()}")
        return 1 if lacking else 0
    ensure()
    return 0


if __name__ == "__main__":
    console.run(main)
