"""Collects the facts about this machine that preflight.py judges. It only reads: nothing is installed or written."""

from __future__ import annotations

import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from scripts import apt, dotenv, engine, env, images, plugins, ports, preflight, project, secret_files, tls
from scripts.image_catalog import LOCAL_BASE, REGISTRY_BASE, STACK
from scripts.preflight import Facts, TakenPort
from scripts.process import ROOT, can_be_root, output, relative
from scripts.project import DEVELOPMENT_FILE, EXAMPLE, LOCAL_IMAGES_FILE, Project

NETWORK_SECONDS = 8.0
SUITE_FILE = "InRelease"


def facts(env_file: Path, chosen: Mapping[str, str], *, with_reload: bool = False) -> Facts:
    """Everything that decides whether and how the installation of `env_file` can start here; `make dev` reloads."""
    try:
        text, added = env.merged(env_file, chosen)
        bad_settings = env.bad_values(text, chosen, file_name=relative(env_file))
    except dotenv.BadLineError as error:
        text, added, bad_settings = EXAMPLE.read_text(encoding="utf-8"), [], [f"{relative(env_file)} {error}"]
    installation = Project(env_file, {**dotenv.values(text), **chosen})
    state = engine_state()
    source = image_source(installation)
    is_running = state == "running"
    found = Facts(
        system=preflight.system_name(apt.os_release()),
        is_debian_like=apt.is_debian_like(),
        may_be_root=can_be_root(),
        engine=state,
        missing_plugins=[plugin.binary for plugin in missing_plugins()],
        images_from=source,
        missing_images=missing_images(source, is_running=is_running),
        bad_settings=bad_settings,
        is_first_time=not env_file.exists(),
        new_settings=bool(added),
        disk_path=str(disk_path()),
        disk_free=shutil.disk_usage(disk_path()).free,
        memory=memory(is_running=is_running),
        has_openssl=shutil.which("openssl") is not None,
        old_volumes=project.volumes(installation.name) if is_running else [],
    )
    # With settings that cannot work there is no telling which ports, secrets and certificate are meant.
    return found if bad_settings else _with_installation(found, installation, with_reload=with_reload)


def _with_installation(found: Facts, installation: Project, *, with_reload: bool) -> Facts:
    """Add what is known about ports, secrets and certificate."""
    found = replace(
        found,
        missing_secrets=secret_files.missing(installation.secrets_dir),
        taken_ports=taken_ports(installation, with_reload=with_reload),
    )
    try:
        secret_files.read(installation.secrets_dir)
    except secret_files.BadSecretError as error:
        found = replace(found, bad_secret=str(error))
    if not found.has_openssl:
        return replace(found, certificate_reason="openssl comes first")
    domain = installation.values["DOMAIN"]
    try:
        if tls.is_local(installation):
            reason = tls.reason_to_make(tls.local_files(installation.secrets_dir), domain)
            return replace(found, certificate_reason=reason)
        tls.check_own(installation.path("TLS_CERT"), installation.path("TLS_KEY"), domain)
    except tls.TlsError as error:
        found = replace(found, bad_certificate=str(error))
    return found


def missing_plugins() -> Sequence[plugins.Plugin]:
    """Plugins that docker lacks; all of them where there is no docker."""
    return plugins.missing() if shutil.which("docker") else plugins.PLUGINS


def engine_state() -> str:
    """running, outdated, forbidden, stopped or absent."""
    lacking = engine.missing()
    if not lacking:
        return "running"
    if engine.engine_version():
        return "outdated"
    if engine.SOCKET.exists() and not os.access(engine.SOCKET, os.W_OK):
        return "forbidden"
    if shutil.which("docker") is None or (apt.is_debian_like() and shutil.which("dockerd") is None):
        return "absent"
    return "stopped"


def image_source(installation: Project) -> str:
    """registry, local, or auto while nobody has asked a registry yet."""
    wanted = installation.values["IMAGES"]
    if wanted == "auto" and LOCAL_IMAGES_FILE in installation.compose_files:
        return "local"
    return wanted


def missing_images(source: str, *, is_running: bool) -> list[str]:
    """Names of the images that are to be built (or pulled) first."""
    names = [name for name in STACK if source != "registry" or name in images.OURS]
    if not is_running:
        return names
    return [image.name for image in images.outdated(names, REGISTRY_BASE if source == "registry" else LOCAL_BASE)]


def taken_ports(installation: Project, *, with_reload: bool) -> list[TakenPort]:
    """The wanted ports that somebody else has; the installation's own containers do not count."""
    ours = _published(installation)
    wanted = [(key, int(installation.values[key])) for key in env.PORTS]
    if with_reload:
        wanted += [("", port) for port in store_ports()]
    return [
        TakenPort(key, port, ports.owner(port)) for key, port in wanted if port not in ours and ports.is_taken(port)
    ]


def store_ports() -> list[int]:
    """The ports on which `make dev` lets the stores answer, out of its Compose file."""
    text = (ROOT / DEVELOPMENT_FILE).read_text(encoding="utf-8")
    return [int(port) for port in re.findall(r'"127\.0\.0\.1:(\d+):\d+"', text)]


def _published(installation: Project) -> set[int]:
    published: set[int] = set()
    for container in project.containers(installation.name):
        for bindings in (container["NetworkSettings"].get("Ports") or {}).values():
            published |= {int(binding["HostPort"]) for binding in bindings or ()}
    return published


def disk_path() -> Path:
    """Where images and data will lie; the nearest folder of it that exists."""
    wanted = Path(output(["docker", "info", "--format", "{{.DockerRootDir}}"]) or "/var/lib/docker")
    return next(path for path in (wanted, *wanted.parents) if path.exists())


def memory(*, is_running: bool) -> int:
    """Bytes that containers can have: what Docker says (it may be a virtual machine), else what this machine has."""
    told = output(["docker", "info", "--format", "{{.MemTotal}}"]) if is_running else None
    return int(told) if told and told.isdigit() and int(told) else preflight.memory_of_this_machine()


def unreachable() -> str:
    """The package mirror's address when it does not answer, else nothing. Only for when something must be fetched."""
    suite = apt.configured_suite() if apt.is_debian_like() else None
    if suite is None:
        return ""
    proxies = {name.removesuffix("_proxy"): address for name, address in apt.proxy().items() if name != "no_proxy"}
    # Without proxies of apt's the handler falls back to the environment's.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler(proxies or None))
    request = urllib.request.Request(suite + SUITE_FILE, method="HEAD")  # noqa: S310 - http(s), checked above
    try:
        opener.open(request, timeout=NETWORK_SECONDS).close()
    except urllib.error.HTTPError:
        return ""  # it answers, which is all that is asked here
    except OSError:
        return suite.partition("/dists/")[0]
    return ""
