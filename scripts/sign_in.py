"""Hashes the password of the supervisor's page: what the container gets cannot be turned back. Called by stack.py.

The hash is argon2, which Python's own library lacks; the supervisor's image, which has it, makes it.
"""

from __future__ import annotations

import subprocess

from scripts import console, dotenv
from scripts.project import Project

HASH_SECONDS = 60
_FILE_MODE = 0o444


def ensure(installation: Project) -> None:
    """Write supervisor_password_hash when it is missing or older than the password."""
    password = installation.secrets_dir / "supervisor_password"
    target = installation.secrets_dir / "supervisor_password_hash"
    if target.exists() and target.stat().st_mtime >= password.stat().st_mtime:
        return
    image = f"modporter/supervisor:{installation.name}"
    command = ["docker", "run", "--rm", "--interactive", "--network", "none", "--read-only", "--cap-drop", "ALL"]
    with console.step("Hash the supervisor's password"):
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
        dotenv.write_atomically(target, done.stdout.strip(), _FILE_MODE)
