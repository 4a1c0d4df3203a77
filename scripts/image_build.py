"""Building images: several `docker buildx build` at a time, what is needed by most first, with what is left on screen.

Builds get what a closed network needs: the host's certificate authorities and package settings as build secrets (never
part of an image) and the host's proxies. Called by images.py, which decides what to build.
"""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from scripts import apt, base_image, console
from scripts.image_catalog import BASE, LABEL, Image, chain_seconds, inputs_hash, parents
from scripts.process import ROOT, log_file, output, relative, tail

AT_A_TIME = 2
BUILD_SECONDS = 1800
POLL_SECONDS = 0.2

_CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_CA_FILES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


@dataclass(frozen=True, slots=True)
class Running:
    """One build under way."""

    image: Image
    process: subprocess.Popen[bytes]
    log: Path
    started: float

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started


def build(images: list[Image], base: str, at_a_time: int = AT_A_TIME) -> None:
    """Build the images on `base`; those that they start from are in the list too, or built already."""
    with console.step(f"Images: build {len(images)}") as step:
        waiting = sorted(images, key=lambda image: -chain_seconds(image, images, base))
        if BASE in waiting:
            step.note("base")
            base_image.build(BASE.tag, {LABEL: inputs_hash(BASE, base)})
            waiting.remove(BASE)
            step.line(f"base         {console.duration(step.seconds)}")
        running: list[Running] = []
        try:
            while waiting or running:
                _start_more(waiting, running, base, at_a_time)
                step.note(_left(waiting, running))
                time.sleep(POLL_SECONDS)
                _reap(running, step)
        finally:
            _stop(running)
        step.note("")


def _start_more(waiting: list[Image], running: list[Running], base: str, at_a_time: int) -> None:
    for image in list(waiting):
        if len(running) >= at_a_time:
            return
        unfinished = {*waiting, *(build.image for build in running)}
        if not unfinished.intersection(parents(image, base)):
            waiting.remove(image)
            running.append(_spawn(image, base))


def _reap(running: list[Running], step: console.Step) -> None:
    """Take finished builds off the list; fail with the log's last lines on the first that went wrong."""
    for build in list(running):
        status = build.process.poll()
        if status is None and build.seconds > BUILD_SECONDS:
            console.fail(
                f"Building {build.image.name} took more than {BUILD_SECONDS // 60} minutes.",
                f"See {relative(build.log)}; the same command continues with what is already built.",
            )
        if status is None:
            continue
        running.remove(build)
        if status != 0:
            console.say(f"\n{tail(build.log)}")
            console.fail(
                f"The image {build.image.name} could not be built.",
                f"The whole log is {relative(build.log)}; the same command continues with what is already built.",
            )
        step.line(f"{build.image.name:12} {console.duration(build.seconds)}")


def _stop(running: list[Running]) -> None:
    for build in running:
        build.process.terminate()
    for build in running:
        with contextlib.suppress(subprocess.TimeoutExpired):
            build.process.wait(timeout=10)


def _left(waiting: list[Image], running: list[Running]) -> str:
    now = ", ".join(f"{build.image.name} {build.seconds:.0f} s" for build in running)
    if not waiting:
        return now
    names = ", ".join(image.name for image in waiting)
    return f"{now}; then {names}" if now else names


def _spawn(image: Image, base: str) -> Running:
    log = log_file(f"build-{image.name}")
    command = ["docker", "buildx", "build", "--builder", _builder(), "--load", "--progress", "plain"]
    command += ["--provenance=false", "--tag", image.tag, "--label", f"{LABEL}={inputs_hash(image, base)}"]
    command += ["--file", image.dockerfile, *(["--target", image.target] if image.target else [])]
    # Only these Dockerfiles have the argument; the services' start from modporter/python.
    if image.dockerfile.startswith("images/"):
        command += ["--build-arg", f"BASE_IMAGE={base}"]
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [*command, *host_options(), "."], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT
        )
    return Running(image, process, log, time.monotonic())


@functools.cache
def _builder() -> str:
    """The builder inside the engine itself: another one (in a container) would not see the images it starts from."""
    return output(["docker", "context", "show"]) or "default"


@functools.cache
def host_options() -> tuple[str, ...]:
    """Options of `docker buildx build` that let a build reach what this machine reaches."""
    options: list[str] = []
    for name, path in _secrets().items():
        options += ["--secret", f"id={name},src={path}"]
    for name, address in apt.proxy().items():
        options += ["--build-arg", f"{name}={address}"]
        # A proxy that listens on this machine alone is out of reach of a build's own network.
        if (urlsplit(address).hostname or "") in {"localhost", "127.0.0.1", "::1"} and "--network=host" not in options:
            options.append("--network=host")
    return tuple(options)


def _secrets() -> dict[str, Path]:
    """The host's files that builds may read while they run, by secret id; those that do not exist are left out."""
    bundles = [*(os.environ.get(name, "") for name in _CA_VARIABLES), *_CA_FILES]
    candidates = [
        ("ca-bundle", next((Path(path) for path in bundles if path and Path(path).is_file()), None)),
        ("maven-settings", Path.home() / ".m2/settings.xml"),
        ("npmrc", Path.home() / ".npmrc"),
    ]
    return {name: path for name, path in candidates if path is not None and path.is_file()}
