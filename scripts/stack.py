"""The steps from a bare machine to a running stack, each idempotent. `make up` takes them all for `.env` (up.py),
`make test` for an installation of its own (test.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from scripts import console, engine, env, health, images, plugins, project, sign_in
from scripts.project import PRODUCTION_FILE, Project


def open_engine() -> None:
    """An engine that answers, with Compose and buildx. Raises console.Failure where that cannot be."""
    engine.ensure()
    plugins.install()


def settle(env_file: Path, chosen: Mapping[str, str], *, isolated: bool = False) -> Project:
    """Settings, passwords and certificate. Raises console.Failure for a value that cannot work."""
    env.bring_openssl()
    with console.step("Settings, passwords and certificate") as step:
        done = env.write_settings(env_file, chosen)
        installation = env.record_engine_group(project.load(env_file, isolated=isolated))
        done += env.write_secrets(installation)
        done += env.write_certificate(installation)
        for sentence in done:
            step.line(sentence)
        step.note("" if done else "unchanged")
    return installation


def bring_images(installation: Project) -> Project:
    """Pull or build what is missing or outdated; COMPOSE_FILE then fits where the images came from."""
    wanted = installation.values["IMAGES"]
    compose = ("docker", "compose", "--env-file", str(installation.env_file), "--file", PRODUCTION_FILE)
    mode = images.prepare(images.resolve_mode(wanted), compose=compose, auto=wanted == "auto")
    images.tag(mode, installation.name)
    sign_in.ensure(installation)
    return env.record_image_source(installation, local=mode == "local")


def start(installation: Project, *arguments: str) -> None:
    """Start the containers and wait until everything is healthy and answers over HTTPS.

    What runs keeps its number of replicas, which the supervisor may have changed since .env was written.
    """
    installation = project.with_running_replicas(installation)
    with console.step("Starting the containers") as step:
        health.start(installation, ["--remove-orphans", *arguments], step)
    with console.step("Waiting for the page and the API") as step:
        health.wait_for_answer(installation, step)
