"""Makes the passwords and keys of the stack: one file each, in SECRETS_DIR. Called by env.py; idempotent.

A file that exists is kept. Files that only repeat a password in a server's own format are rendered again from it.
The folder is 0700, so that only its owner (and the engine) gets in. The files are 0444: the engine mounts them into
containers that run under several uids, and Compose cannot give a mounted file another owner.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

from scripts.dotenv import write_atomically

GENERATED = (
    "postgres_password",
    "database_migrator_password",
    "database_app_password",
    "redis_app_password",
    "neo4j_password",
    "session_key",
    "supervisor_api_token",
    "supervisor_password",
    "supervisor_session_key",
)
PLACEHOLDERS = frozenset({"changeme", "change-me", "change_me", "password", "secret", "todo", "xxx", "example"})
_FILE_MODE = 0o444
_TOKEN_BYTES = 32


class BadSecretError(ValueError):
    """A secret file that must not be used as it is; the text says which and why."""


def ensure(folder: Path) -> list[str]:
    """Create what is missing, refresh the rendered files. Returns the names written. Raises BadSecretError."""
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    written: list[str] = []
    for name in missing(folder):
        write_atomically(folder / name, generate(), _FILE_MODE)
        written.append(name)
    values = read(folder)
    for name, render in RENDERED.items():
        if _write_if_different(folder / name, render(values)):
            written.append(name)
    return written


def missing(folder: Path) -> list[str]:
    """The names of the generated secrets that are not there yet."""
    return [name for name in GENERATED if not (folder / name).exists()]


def read(folder: Path) -> dict[str, str]:
    """The existing generated secrets by name. Raises BadSecretError for one that is empty or a placeholder."""
    values: dict[str, str] = {}
    for name in GENERATED:
        path = folder / name
        if path.exists():
            values[name] = _checked(path, path.read_text(encoding="utf-8").strip())
    return values


def generate() -> str:
    """A random URL-safe text of 43 characters that starts with a letter or digit (never mistaken for an option)."""
    while True:
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        if token[0].isalnum():
            return token


def redis_acl(values: Mapping[str, str]) -> str:
    """Redis users: nobody without a name, and `app` with the application's keys and channels and nothing else.

    The password is stored as its SHA-256, which is all that Redis needs. -@admin and -@dangerous take away KEYS,
    FLUSHALL, CONFIG and the like.
    """
    digest = hashlib.sha256(values["redis_app_password"].encode()).hexdigest()
    return (
        "user default off resetpass resetkeys resetchannels -@all\n"
        f"user app on #{digest} resetchannels ~cache:* ~rate:* &conversion:* +@all -@admin -@dangerous\n"
    )


def pgbouncer_userlist(values: Mapping[str, str]) -> str:
    """pgBouncer logs in to Postgres with SCRAM on the client's behalf, which needs the password itself."""
    quoted = values["database_app_password"].replace('"', '""')
    return f'"modporter_app" "{quoted}"\n'


def neo4j_auth(values: Mapping[str, str]) -> str:
    """The form that NEO4J_AUTH_FILE wants: user/password."""
    return f"neo4j/{values['neo4j_password']}"


RENDERED: dict[str, Callable[[Mapping[str, str]], str]] = {
    "redis_users.acl": redis_acl,
    "pgbouncer_userlist.txt": pgbouncer_userlist,
    "neo4j_auth": neo4j_auth,
}


def _checked(path: Path, value: str) -> str:
    if not value:
        raise BadSecretError(f"{path} is empty")
    if value.lower() in PLACEHOLDERS:
        raise BadSecretError(f"{path} holds the placeholder {value!r}")
    if any(character.isspace() for character in value):
        raise BadSecretError(f"{path} holds white space; a secret is one word on one line")
    return value


def _write_if_different(path: Path, content: str) -> bool:
    if path.exists() and path.read_text(encoding="utf-8") == content:
        return False
    write_atomically(path, content, _FILE_MODE)
    return True
