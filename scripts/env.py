"""Writes the settings file, the passwords and the certificate: `make init`. Called by `make up` and `make test` too.

Nothing that exists is overwritten: settings keep their values, new settings are added with their comments, passwords
stay, and the certificate is renewed only when it must be.
"""

from __future__ import annotations

import argparse
import ipaddress
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from scripts import apt, console, dotenv, project, secret_files, tls
from scripts.process import ROOT, can_be_root, relative
from scripts.project import EXAMPLE, LOCAL_IMAGES_FILE, PRODUCTION_FILE, Project

_LABEL = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)", re.IGNORECASE)
_PROJECT_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
LOG_LEVELS = ("debug", "info", "warning", "error")
IMAGE_SOURCES = ("auto", "registry", "local")


def whole_number(least: int, most: int) -> Callable[[str], str]:
    """A check that answers with what is wrong with a number, or with nothing."""

    def check(value: str) -> str:
        if value.isascii() and value.isdigit() and least <= int(value) <= most:
            return ""
        return f"must be a whole number from {least} to {most}"

    return check


def one_of(*choices: str) -> Callable[[str], str]:
    """A check for a word out of a list."""
    return lambda value: "" if value in choices else f"must be one of {', '.join(choices)}"


def host(value: str) -> str:
    """A host name or an IP address, without scheme, port or path."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        name_is_good = len(value) <= 253 and all(_LABEL.fullmatch(label) for label in value.split("."))
        return "" if name_is_good else "must be a host name or an IP address, without https:// and without a port"
    return ""


def networks(value: str) -> str:
    """One address or network of trusted proxies."""
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return "must be an IP address or a network such as 10.0.0.0/8"
    return ""


def project_name(value: str) -> str:
    """What Compose accepts as a project name."""
    good = _PROJECT_NAME.fullmatch(value)
    return "" if good else "must begin with a small letter or digit and hold only small letters, digits, - and _"


def compose_files(value: str) -> str:
    """A colon-separated list of files that exist."""
    absent = [name for name in value.split(":") if not (ROOT / name).is_file()]
    return f"names {', '.join(absent) or 'nothing'}, which is not there" if absent or not value else ""


def not_empty(value: str) -> str:
    """A path that is set at all."""
    return "" if value else "must not be empty"


PORT = whole_number(1, 65535)
PORTS = ("HTTP_PORT", "HTTPS_PORT", "SUPERVISOR_PORT")
RULES: Mapping[str, Callable[[str], str]] = {
    "HTTP_PORT": PORT,
    "HTTPS_PORT": PORT,
    "SUPERVISOR_PORT": PORT,
    "DOMAIN": host,
    "BACKEND_REPLICAS": whole_number(1, 50),
    "AI_ENGINE_REPLICAS": whole_number(1, 50),
    "FRONTEND_REPLICAS": whole_number(1, 50),
    "API_RATE": whole_number(1, 100_000),
    "UPLOAD_RATE": whole_number(1, 100_000),
    "MAX_CONNECTIONS": whole_number(1, 100_000),
    "MAX_UPLOAD_MB": whole_number(1, 1024),
    "REAL_IP_FROM": networks,
    "WORKER_CONCURRENCY": whole_number(1, 16),
    "CONVERSION_TIMEOUT_SECONDS": whole_number(1, 3600),
    "CONVERSION_MEMORY_MB": whole_number(64, 16_384),
    "DOCKER_SOCKET": not_empty,
    "DOCKER_GID": whole_number(0, 2**31),
    "LOG_LEVEL": one_of(*LOG_LEVELS),
    "IMAGES": one_of(*IMAGE_SOURCES),
    "COMPOSE_FILE": compose_files,
    "COMPOSE_PROJECT_NAME": project_name,
    "SECRETS_DIR": not_empty,
    "TLS_CERT": not_empty,
    "TLS_KEY": not_empty,
}


def bad_values(text: str, overrides: Mapping[str, str], *, file_name: str = ".env") -> list[str]:
    """One sentence for each setting that cannot work, naming the line (or the variable of the shell) that sets it."""
    try:
        entries = dotenv.parse(text)
    except dotenv.BadLineError as error:
        return [f"{file_name} {error}"]
    troubles: list[str] = []
    values: dict[str, str] = {}
    for key, rule in RULES.items():
        entry = entries.get(key)
        if overrides.get(key):
            values[key], place = overrides[key], "the variable of your shell"
        elif entry is not None:
            values[key], place = entry.value, f"{file_name} line {entry.line}"
        else:
            continue
        problem = rule(values[key])
        if problem:
            troubles.append(f"{place}: {key}={values[key]} {problem}")
    return troubles or _shared_ports(values, file_name)


def _shared_ports(values: Mapping[str, str], file_name: str) -> list[str]:
    keys: dict[str, list[str]] = {}
    for key in PORTS:
        if key in values:
            keys.setdefault(values[key], []).append(key)
    shared = [(port, names) for port, names in keys.items() if len(names) > 1]
    return [f"{file_name}: {' and '.join(names)} are both {port}; they must differ" for port, names in shared]


def merged(env_file: Path, chosen: Mapping[str, str]) -> tuple[str, list[str]]:
    """What the settings file would hold, and the names that are new in it. Raises dotenv.BadLineError."""
    current = env_file.read_text(encoding="utf-8") if env_file.exists() else ""
    return dotenv.with_missing(current, EXAMPLE.read_text(encoding="utf-8"), chosen)


def from_shell() -> dict[str, str]:
    """Settings that the shell (or `make NAME=value`) gives; they are written down when the setting is new."""
    return {key: os.environ[key] for key in RULES if os.environ.get(key)}


def write_settings(env_file: Path, chosen: Mapping[str, str]) -> list[str]:
    """Create or extend the settings file. Returns what was done; ends the script on a value that cannot work."""
    try:
        text, added = merged(env_file, chosen)
    except dotenv.BadLineError as error:
        console.fail(f"{relative(env_file)} {error}.", "Correct that line and run the same command again.")
    troubles = bad_values(text, chosen, file_name=relative(env_file))
    if troubles:
        console.fail(f"{'; '.join(troubles)}.", "Correct it and run the same command again.")
    if not added:
        return []
    is_new = not env_file.exists()
    dotenv.write_atomically(env_file, text, 0o644)
    names = ", ".join(added)
    return [f"wrote {relative(env_file)}" if is_new else f"added {names} to {relative(env_file)}"]


def write_secrets(installation: Project) -> list[str]:
    """Make the passwords that are missing. Returns what was done; ends the script on a placeholder."""
    folder = installation.secrets_dir
    try:
        written = secret_files.ensure(folder)
    except secret_files.BadSecretError as error:
        console.fail(f"{error}.", "Put a real one in, or delete the file to get a generated one.")
    return [f"wrote {len(written)} secrets to {relative(folder)}/: {', '.join(written)}"] if written else []


def bring_openssl() -> None:
    """Install openssl, which makes and checks certificates, where it is missing; ends the script if it cannot."""
    if shutil.which("openssl"):
        return
    if not (apt.is_debian_like() and can_be_root()):
        console.fail(
            "openssl is not installed; it makes the certificate.", "Install it, then run the same command again."
        )
    with console.step("Installing openssl"):
        apt.install(["openssl"])


def write_certificate(installation: Project) -> list[str]:
    """Make, renew or check the certificate. Returns what was done; ends the script on one that cannot work."""
    try:
        return tls.ensure(installation)
    except tls.TlsError as error:
        console.fail(f"{error}.", "Correct TLS_CERT and TLS_KEY in .env, or set them back to the local certificate.")


def record_image_source(installation: Project, *, local: bool) -> Project:
    """Make COMPOSE_FILE fit where the images come from; a list that the user composed otherwise is left alone."""
    wanted = f"{PRODUCTION_FILE}:{LOCAL_IMAGES_FILE}" if local else PRODUCTION_FILE
    current = installation.values["COMPOSE_FILE"]
    if current == wanted or current not in (PRODUCTION_FILE, f"{PRODUCTION_FILE}:{LOCAL_IMAGES_FILE}"):
        return installation
    text = dotenv.assign(installation.env_file.read_text(encoding="utf-8"), "COMPOSE_FILE", wanted)
    dotenv.write_atomically(installation.env_file, text, 0o644)
    return Project(installation.env_file, {**installation.values, "COMPOSE_FILE": wanted})


def record_engine_group(installation: Project) -> Project:
    """Make DOCKER_GID the group that owns the engine's socket; it changes when Docker is installed anew."""
    try:
        group = str(Path(installation.values["DOCKER_SOCKET"]).stat().st_gid)
    except OSError:
        return installation  # no engine here, or one in a virtual machine, where the socket belongs to group 0
    if group == installation.values["DOCKER_GID"]:
        return installation
    text = dotenv.assign(installation.env_file.read_text(encoding="utf-8"), "DOCKER_GID", group)
    dotenv.write_atomically(installation.env_file, text, 0o644)
    return Project(installation.env_file, {**installation.values, "DOCKER_GID": group})


def main() -> int:
    """Do all of it for `.env`, and say what was done."""
    argparse.ArgumentParser(prog="scripts.env", description="Write .env, the secrets and the certificate.").parse_args()
    env_file = ROOT / ".env"
    bring_openssl()
    done = write_settings(env_file, from_shell())
    installation = record_engine_group(project.load(env_file))
    done += write_secrets(installation)
    done += write_certificate(installation)
    for sentence in done or ["Everything is there already; nothing changed."]:
        console.say(sentence)
    return 0


if __name__ == "__main__":
    console.run(main)
