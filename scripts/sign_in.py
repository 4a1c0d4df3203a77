"""Hashes the password of the supervisor's page, and lets a running supervisor see changed secrets. Called by stack.py.

The hash is argon2, which Python's own library lacks; the supervisor's image, which has it, makes it. What the container
gets cannot be turned back into the password.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from scripts import console, dotenv, project
from scripts.process import output
from scripts.project import Project

HASH_SECONDS = 60
RESTART_SECONDS = 60
MOUNTED = ("supervisor_api_token", "supervisor_password_hash", "supervisor_session_key")
_FILE_MODE = 0o444


def ensure(installation: Project) -> None:
    """Write supervisor_password_hash when it is missing or older than the password, and bring it into force.

    The supervisor reads its secrets again when they change. A file that was replaced is hidden from a running
    container, which keeps the one that it was started with; then the supervisor is restarted.
    """
    password = installation.secrets_dir / "supervisor_password"
    target = installation.secrets_dir / "supervisor_password_hash"
    if not target.exists() or target.stat().st_mtime < password.stat().st_mtime:
        with console.step("Hash the supervisor's password"):
            _write(target, _hashed(installation, password))
    wanted = [(installation.secrets_dir / name).read_text(encoding="utf-8").strip() for name in MOUNTED]
    for container_id in _running_supervisors(installation):
        if _mounted(container_id) not in (wanted, None):
            with console.step("Restart the supervisor, which has secrets from before"):
                output(["docker", "restart", container_id], timeout_seconds=RESTART_SECONDS)


def _hashed(installation: Project, password: Path) -> str:
    image = f"modporter/supervisor:{installation.name}"
    command = ["docker", "run", "--rm", "--interactive", "--network", "none", "--read-only", "--cap-drop", "ALL"]
    done = subprocess.run(
        [*command, image, "supervisor", "hash-password"],
        input=password.read_text(encoding="utf-8"),
        capture_output=True,
        text=True,
        check=False,
        timeout=HASH_SECONDS,
    )
    if done.returncode or not done.stdout.startswith("$argon2"):
        console.fail(f"The password could not be hashed: {done.stderr.strip()}", "Run the same command again.")
    return done.stdout.strip()


def _write(path: Path, text: str) -> None:
    """Into the file that is there, which a running container sees; a new one where there is none."""
    if not path.exists():
        dotenv.write_atomically(path, text, _FILE_MODE)
        return
    path.chmod(_FILE_MODE | 0o200)
    path.write_text(text, encoding="utf-8")
    path.chmod(_FILE_MODE)


def _running_supervisors(installation: Project) -> list[str]:
    return [
        container["Id"]
        for container in project.containers(installation.name)
        if container["State"]["Running"]
        and container["Config"]["Labels"].get("com.docker.compose.service") == "supervisor"
    ]


def _mounted(container_id: str) -> list[str] | None:
    """The secrets as the container sees them; None when it cannot be asked."""
    paths = [f"/run/secrets/{name}" for name in MOUNTED]
    found = output(["docker", "exec", container_id, "sh", "-c", 'for path; do cat "$path"; echo; done', "sh", *paths])
    return None if found is None else found.split()
